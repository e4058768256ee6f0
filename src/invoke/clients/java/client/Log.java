package lambdapack;

import com.amazonaws.services.lambda.runtime.LambdaLogger;
import com.amazonaws.services.lambda.runtime.logging.LogLevel;
import java.nio.charset.StandardCharsets;

/** The function's log. On Lambda each call is an entry of its own; here it is a line. */
public final class Log implements LambdaLogger {
    @Override
    public void log(String message) {
        log(String.valueOf(message), LogLevel.UNDEFINED);
    }

    @Override
    public void log(byte[] message) {
        log(message, LogLevel.UNDEFINED);
    }

    @Override
    public void log(byte[] message, LogLevel level) {
        log(new String(message, StandardCharsets.UTF_8), level);
    }

    @Override
    public void log(String message, LogLevel level) {
        String line = level == LogLevel.UNDEFINED ? message : "[" + level + "] " + message;
        System.out.print(line.endsWith("\n") ? line : line + "\n");
        System.out.flush();
    }
}
