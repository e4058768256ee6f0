package lambdapack;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * Finds what a handler's name means, as `HandlerInfo` and `EventHandlerLoader` of aws-lambda-java-runtime-interface-client do,
 * whose words the errors are.
 */
final class Handlers {
    private static final byte[] NULL = "null".getBytes(StandardCharsets.US_ASCII);

    private Handlers() {}

    /** A handler that there is not: every event is told so. */
    static final class Failing implements Handler {
        final Fault fault;

        Failing(Fault fault) {
            this.fault = fault;
        }

        @Override
        public void call(byte[] event, OutputStream out, Context context) {
            throw fault;
        }
    }

    static Handler find(String name, ClassLoader loader) {
        int colons = name.lastIndexOf("::");
        String className = colons < 0 ? name : name.substring(0, colons);
        String methodName = colons < 0 ? null : name.substring(colons + 2);
        if (className.isEmpty() || "".equals(methodName)) {
            return new Failing(Fault.of("Invalid handler: `" + name + "'"));
        }
        Class<?> found;
        try {
            found = Class.forName(className, true, loader);
        } catch (ClassNotFoundException e) {
            return new Failing(Fault.of("Class not found: " + className, e, false));
        } catch (NoClassDefFoundError e) {
            // It is fatal, and yet told to the first event alone.
            return new Failing(Fault.loading(className, e));
        } catch (Throwable e) {
            throw Fault.loading(className, e);
        }
        try {
            return methodName == null ? ofClass(found, loader) : ofMethods(found, methodName, loader);
        } catch (Fault fault) {
            if (fault.isFatal) {
                throw fault;
            }
            return new Failing(fault);
        } catch (Throwable e) {
            return new Failing(Fault.of(e, false));
        }
    }

    private static Handler ofClass(Class<?> found, ClassLoader loader) throws Throwable {
        if (RequestStreamHandler.class.isAssignableFrom(found)) {
            RequestStreamHandler handler = (RequestStreamHandler) instance(found);
            return (event, out, context) -> handler.handleRequest(new ByteArrayInputStream(event), out, context);
        }
        if (!RequestHandler.class.isAssignableFrom(found)) {
            throw Fault.of("Class does not implement an appropriate handler interface: " + found.getName());
        }
        Type[] types = Types.ofHandler(found, RequestHandler.class);
        if (types == null) {
            throw Fault.of("Class " + found.getName() + " does not implement RequestHandler with concrete type parameters");
        }
        for (Type type : types) {
            if (type instanceof TypeVariable && Types.raw(type) == Object.class) {
                throw Fault.of("Class " + found.getName() + " does not implement RequestHandler with concrete type parameters: "
                        + "parameter " + type + " has no upper bound.");
            }
        }
        @SuppressWarnings("unchecked")
        RequestHandler<Object, Object> handler = (RequestHandler<Object, Object>) instance(found);
        return ofObjects(types[0], types[1], loader, handler::handleRequest);
    }

    private static Object instance(Class<?> of) throws Throwable {
        Constructor<?> constructor;
        try {
            constructor = of.getConstructor();
        } catch (NoSuchMethodException e) {
            if (of.getEnclosingClass() != null && !Modifier.isStatic(of.getModifiers())) {
                String message = " cannot be instantiated because it is a non-static inner class";
                throw new Exception("Class " + of.getName() + message);
            }
            throw new Exception("Class " + of.getName() + " has no public zero-argument constructor", e);
        }
        try {
            return constructor.newInstance();
        } catch (InvocationTargetException e) {
            throw Fault.of(e.getCause() == null ? e : e.getCause(), true);
        } catch (InstantiationException e) {
            throw e.getCause() == null ? e : e.getCause();
        }
    }

    /** Something that takes an object and gives one. */
    private interface Body {
        Object call(Object input, Context context) throws Throwable;
    }

    private static Handler ofObjects(Type input, Type output, ClassLoader loader, Body body) {
        Codec codec = new Codec(loader);
        boolean isVoid = output == void.class || output == Void.class;
        return (event, out, context) -> {
            Object value;
            try {
                value = input == null ? null : codec.read(event, input);
            } catch (Throwable e) {
                throw new RuntimeException("An error occurred during JSON parsing", Fault.withoutClient(e));
            }
            Object result = body.call(value, context);
            try {
                if (isVoid) {
                    out.write(NULL);
                } else {
                    codec.write(result, output, out);
                }
            } catch (Throwable e) {
                throw new RuntimeException("An error occurred during JSON serialization of response", e);
            }
        };
    }

    /** Of methods of one name, the first that can be called. Longer ones come first, and a context counts twice. */
    private static Handler ofMethods(Class<?> of, String name, ClassLoader loader) throws Throwable {
        Method[] all;
        try {
            all = of.getMethods();
        } catch (NoClassDefFoundError e) {
            throw Fault.of("Error loading method " + name + " on class " + of.getName(), e, false);
        }
        List<Method> methods = new ArrayList<>();
        for (Method method : all) {
            if (method.getName().equals(name)) {
                methods.add(method);
            }
        }
        methods.sort((a, b) -> a.isBridge() != b.isBridge() ? (a.isBridge() ? 1 : -1) : weight(b) - weight(a));
        for (Method method : methods) {
            String why = refusal(method);
            if (why == null) {
                return ofMethod(of, method, loader);
            }
            System.err.println(why);
        }
        throw Fault.of("No public method named " + name + " with appropriate method signature found on class " + of.getName());
    }

    private static int weight(Method method) {
        return method.getParameterCount() + (takesContext(method) ? 1 : 0);
    }

    private static boolean takesContext(Method method) {
        Class<?>[] types = method.getParameterTypes();
        return types.length > 0 && types[types.length - 1] == Context.class;
    }

    /** Why a method cannot be called, or nothing. */
    private static String refusal(Method method) {
        Class<?>[] types = method.getParameterTypes();
        switch (types.length) {
            case 0:
            case 1:
                return null;
            case 2:
                if (types[0] == OutputStream.class) {
                    return types[1] == Context.class ? null
                            : "Ignoring two-argument overload because first argument type is OutputStream and second argument "
                                    + "type is not Context";
                }
                if (types[0] == Context.class) {
                    return "Ignoring two-argument overload because first argument type is Context";
                }
                if (types[0] == InputStream.class) {
                    return types[1] == OutputStream.class || types[1] == Context.class ? null
                            : "Ignoring two-argument overload because second parameter type, " + types[1].getName()
                                    + ", is not OutputStream.";
                }
                return types[1] == Context.class ? null
                        : "Ignoring two-argument overload because second parameter type is not Context";
            case 3:
                return types[0] == InputStream.class && types[1] == OutputStream.class && types[2] == Context.class ? null
                        : "Ignoring three-argument overload because argument signature is not (InputStream, OutputStream, Context";
            default:
                return "Ignoring an overload of method " + method.getName() + " because it has too many parameters: Expected "
                        + "at most 3, got " + types.length;
        }
    }

    private static Handler ofMethod(Class<?> of, Method method, ClassLoader loader) throws Throwable {
        List<Class<?>> types = java.util.Arrays.asList(method.getParameterTypes());
        boolean isStream = types.contains(InputStream.class) || types.contains(OutputStream.class);
        if (isStream && method.getReturnType() != void.class && method.getReturnType() != Void.class) {
            System.err.println("Will ignore return type " + method.getReturnType() + " on byte stream handler");
        }
        Object instance = Modifier.isStatic(method.getModifiers()) ? null : instance(of);
        if (isStream) {
            return (event, out, context) -> {
                Object[] arguments = new Object[types.size()];
                for (int at = 0; at < arguments.length; at++) {
                    Class<?> type = types.get(at);
                    arguments[at] = type == InputStream.class ? new ByteArrayInputStream(event)
                            : type == OutputStream.class ? out : context;
                }
                invoke(method, instance, arguments);
                if (!types.contains(OutputStream.class)) {
                    out.write(NULL);
                }
            };
        }
        boolean hasInput = !types.isEmpty() && types.get(0) != Context.class;
        Type input = hasInput ? method.getGenericParameterTypes()[0] : null;
        Body body = (value, context) -> {
            List<Object> arguments = new ArrayList<>();
            if (hasInput) {
                arguments.add(value);
            }
            if (takesContext(method)) {
                arguments.add(context);
            }
            return invoke(method, instance, arguments.toArray());
        };
        return ofObjects(input, method.getGenericReturnType(), loader, body);
    }

    private static Object invoke(Method method, Object instance, Object[] arguments) throws Throwable {
        try {
            return method.invoke(instance, arguments);
        } catch (InvocationTargetException e) {
            throw e.getCause() == null ? e : e.getCause();
        }
    }
}
