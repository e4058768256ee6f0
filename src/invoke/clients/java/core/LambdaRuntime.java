package com.amazonaws.services.lambda.runtime;

import lambdapack.Log;

/** Where the log is had without an event. */
public final class LambdaRuntime {
    private static final LambdaLogger LOGGER = new Log();

    private LambdaRuntime() {}

    public static LambdaLogger getLogger() {
        return LOGGER;
    }
}
