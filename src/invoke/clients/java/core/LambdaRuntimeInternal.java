package com.amazonaws.services.lambda.runtime;

/** What Lambda's appender for Log4j tells the client. */
public final class LambdaRuntimeInternal {
    private static boolean usesLog4j;

    private LambdaRuntimeInternal() {}

    public static void setUseLog4jAppender(boolean uses) {
        usesLog4j = uses;
    }

    public static boolean getUseLog4jAppender() {
        return usesLog4j;
    }
}
