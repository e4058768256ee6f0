package lambdapack;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.Set;

/**
 * Code that cannot be called, as `UserFault` of aws-lambda-java-runtime-interface-client: what is fatal ends the process, the
 * rest is the answer to every event.
 */
final class Fault extends RuntimeException {
    private static final long serialVersionUID = 1;
    final String kind;
    final boolean isFatal;
    private final String trace;

    private Fault(String message, String kind, String trace, boolean isFatal) {
        super(message, null, false, false);
        this.kind = kind;
        this.trace = trace;
        this.isFatal = isFatal;
    }

    static Fault of(String message) {
        return new Fault(message, null, null, false);
    }

    static Fault of(Throwable thrown, boolean isFatal) {
        return of(message(thrown), thrown, isFatal);
    }

    static Fault of(String message, Throwable thrown, boolean isFatal) {
        return new Fault(message, thrown.getClass().getName(), trace(thrown), isFatal);
    }

    /** A class that does not load. */
    static Fault loading(String name, Throwable thrown) {
        String why = thrown.getMessage() == null ? "" : ": " + thrown.getMessage();
        return of("Error loading class " + name + why, thrown, true);
    }

    static String message(Throwable thrown) {
        return thrown.getLocalizedMessage() == null ? thrown.getClass().getName() : thrown.getLocalizedMessage();
    }

    /** What is logged. */
    String report() {
        return kind == null ? getMessage() + "\n" : getMessage() + ": " + kind + "\n" + trace + "\n";
    }

    private static String trace(Throwable thrown) {
        StringWriter out = new StringWriter();
        withoutClient(thrown).printStackTrace(new PrintWriter(out));
        return out.toString();
    }

    /** The same with stacks that end where this client begins. */
    static <T extends Throwable> T withoutClient(T thrown) {
        cut(thrown, Collections.newSetFromMap(new IdentityHashMap<>()));
        return thrown;
    }

    private static void cut(Throwable thrown, Set<Throwable> seen) {
        if (thrown == null || !seen.add(thrown)) {
            return;
        }
        StackTraceElement[] stack = thrown.getStackTrace();
        for (int at = 0; at < stack.length; at++) {
            if (stack[at].getClassName().startsWith("lambdapack.")) {
                thrown.setStackTrace(java.util.Arrays.copyOf(stack, at));
                break;
            }
        }
        cut(thrown.getCause(), seen);
        for (Throwable suppressed : thrown.getSuppressed()) {
            cut(suppressed, seen);
        }
    }
}
