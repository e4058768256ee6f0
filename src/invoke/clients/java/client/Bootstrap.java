package lambdapack;

import com.amazonaws.services.lambda.runtime.LambdaRuntime;
import com.amazonaws.services.lambda.runtime.LambdaRuntimeInternal;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOError;
import java.io.IOException;
import java.io.PrintStream;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Finds a handler and hands it events, as `AWSLambda` of aws-lambda-java-runtime-interface-client does.
 *
 * <p>Bootstrap TASK LAYERS [verify]: where the function and its layers lie. With `verify`, whatever keeps the handler from being
 * called is an error of init; else some of that is only told to the first event, as on Lambda.
 */
public final class Bootstrap {
    private Bootstrap() {}

    public static void main(String[] args) throws IOException {
        System.setOut(new PrintStream(new FileOutputStream(FileDescriptor.out), true, "UTF-8"));
        System.setErr(new PrintStream(new FileOutputStream(FileDescriptor.err), true, "UTF-8"));
        Api api = new Api(System.getenv("AWS_LAMBDA_RUNTIME_API"));
        ClassLoader loader = loader(args[0], args[1]);
        Thread.currentThread().setContextClassLoader(loader);
        Handler handler;
        try {
            handler = Handlers.find(System.getenv("_HANDLER"), loader);
            if (handler instanceof Handlers.Failing && (args.length > 2 || ((Handlers.Failing) handler).fault.isFatal)) {
                throw ((Handlers.Failing) handler).fault;
            }
        } catch (Fault fault) {
            LambdaRuntime.getLogger().log(fault.report());
            api.failInit(document(fault.getMessage(), fault.kind, null), fault.kind);
            System.exit(1);
            return;
        }
        while (answer(api, handler, loader)) {
            // Until it cannot go on.
        }
        System.exit(0);
    }

    /** Classes of the function, its jars, those of layers: each by name. What the runtime has comes before all of them. */
    private static ClassLoader loader(String task, String layers) throws MalformedURLException {
        List<URL> path = new ArrayList<>();
        path.add(new File(task).toURI().toURL());
        for (String folder : new String[] {task + "/lib", layers + "/java/lib"}) {
            String[] names = new File(folder).list((in, name) -> name.endsWith(".jar"));
            if (names != null) {
                Arrays.sort(names);
                for (String name : names) {
                    path.add(new File(folder, name).toURI().toURL());
                }
            }
        }
        return new URLClassLoader(path.toArray(new URL[0]), ClassLoader.getSystemClassLoader());
    }

    /** Answers one event; whether another one may come. */
    private static boolean answer(Api api, Handler handler, ClassLoader loader) throws IOException {
        Api.Answer next = api.next();
        if (next.status != 200) {
            return false;
        }
        Invocation context = new Invocation(next.headers);
        String id = context.getAwsRequestId();
        if (context.getXrayTraceId() == null) {
            System.clearProperty("com.amazonaws.xray.traceHeader");
        } else {
            System.setProperty("com.amazonaws.xray.traceHeader", context.getXrayTraceId());
        }
        try {
            if (LambdaRuntimeInternal.getUseLog4jAppender()) {
                tellLog4j(loader, id);
            }
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            handler.call(next.body, out, context);
            api.respond(id, out.toByteArray());
            // A function may have left it set.
            Thread.interrupted();
            return true;
        } catch (Fault fault) {
            api.fail(id, document(fault.getMessage(), fault.kind, null), fault.kind);
            LambdaRuntime.getLogger().log(fault.report());
            return !fault.isFatal;
        } catch (Throwable thrown) {
            Fault.withoutClient(thrown);
            String kind = thrown.getClass().getName();
            api.fail(id, document(Fault.message(thrown), kind, thrown.getStackTrace()), kind);
            LambdaRuntime.getLogger().log(Fault.of(thrown, false).report());
            return !(thrown instanceof VirtualMachineError || thrown instanceof IOError);
        }
    }

    /** An error document. */
    private static byte[] document(String message, String kind, StackTraceElement[] stack) throws IOException {
        Map<String, Object> document = new LinkedHashMap<>();
        document.put("errorMessage", message);
        if (kind != null) {
            document.put("errorType", kind);
        }
        if (stack != null) {
            List<String> lines = new ArrayList<>();
            for (StackTraceElement element : stack) {
                lines.add(element.toString());
            }
            document.put("stackTrace", lines);
        }
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        new Writer(false).write(document, Object.class, out);
        return out.toByteArray();
    }

    /** Lambda's appender prints the id that is in Log4j's own context. */
    private static void tellLog4j(ClassLoader loader, String id) {
        for (String[] names : new String[][] {
            {"org.apache.log4j.MDC", "java.lang.Object"}, {"org.apache.logging.log4j.ThreadContext", "java.lang.String"}
        }) {
            try {
                Class<?> value = Class.forName(names[1]);
                loader.loadClass(names[0]).getMethod("put", String.class, value).invoke(null, "AWSRequestId", id);
            } catch (ReflectiveOperationException | LinkageError e) {
                // This one is not there.
            }
        }
    }

    /** Text of bytes that are JSON. */
    static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }
}
