package com.amazonaws.services.lambda.runtime.logging;

/** How log lines are written. */
public enum LogFormat {
    JSON,
    TEXT;

    public static LogFormat fromString(String name) {
        return "JSON".equalsIgnoreCase(name) ? JSON : TEXT;
    }
}
