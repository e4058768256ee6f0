package com.amazonaws.services.lambda.runtime;

/** Who the caller is. */
public interface CognitoIdentity {
    String getIdentityId();

    String getIdentityPoolId();
}
