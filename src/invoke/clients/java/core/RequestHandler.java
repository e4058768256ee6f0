package com.amazonaws.services.lambda.runtime;

/** A function of objects. */
public interface RequestHandler<I, O> {
    O handleRequest(I input, Context context);
}
