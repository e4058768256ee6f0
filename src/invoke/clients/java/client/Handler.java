package lambdapack;

import com.amazonaws.services.lambda.runtime.Context;
import java.io.OutputStream;

/** What answers events. */
interface Handler {
    void call(byte[] event, OutputStream out, Context context) throws Throwable;
}
