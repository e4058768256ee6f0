package com.amazonaws.services.lambda.runtime;

/** The application that called, when it is one of the mobile SDK. */
public interface Client {
    String getInstallationId();

    String getAppTitle();

    String getAppVersionName();

    String getAppVersionCode();

    String getAppPackageName();
}
