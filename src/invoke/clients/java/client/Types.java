package lambdapack;

import java.lang.reflect.Array;
import java.lang.reflect.GenericArrayType;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.lang.reflect.WildcardType;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;

/** What generic types come to. */
final class Types {
    private Types() {}

    /** Events that Lambda's serializer treats apart, as `LambdaEventSerializers` of aws-lambda-java-serialization lists them. */
    private static final Set<String> EVENTS = new HashSet<>(Arrays.asList("APIGatewayProxyRequestEvent",
            "APIGatewayProxyResponseEvent", "CloudFormationCustomResourceEvent", "CloudFrontEvent", "CloudWatchLogsEvent",
            "CodeCommitEvent", "CognitoEvent", "ConfigEvent", "ConnectEvent", "DynamodbEvent", "DynamodbTimeWindowEvent",
            "IoTButtonEvent", "KinesisEvent", "KinesisTimeWindowEvent", "KinesisFirehoseEvent", "LambdaDestinationEvent",
            "LexEvent", "ScheduledEvent", "SecretsManagerRotationEvent", "S3Event", "S3EventNotification", "SNSEvent", "SQSEvent"));

    static boolean isEvent(Class<?> type) {
        String name = type.getName();
        boolean isOfEvents = name.startsWith("com.amazonaws.services.lambda.runtime.events.")
                || name.startsWith("com.amazonaws.services.s3.event.");
        return isOfEvents && EVENTS.contains(type.getSimpleName());
    }

    static Class<?> raw(Type type) {
        if (type instanceof Class) {
            return (Class<?>) type;
        }
        if (type instanceof ParameterizedType) {
            return raw(((ParameterizedType) type).getRawType());
        }
        if (type instanceof GenericArrayType) {
            return Array.newInstance(raw(((GenericArrayType) type).getGenericComponentType()), 0).getClass();
        }
        if (type instanceof WildcardType) {
            return raw(((WildcardType) type).getUpperBounds()[0]);
        }
        if (type instanceof TypeVariable) {
            return raw(((TypeVariable<?>) type).getBounds()[0]);
        }
        return Object.class;
    }

    /**
     * What the type parameters of an interface are for a class that has it, as `findInterfaceParameters` of Lambda's client finds
     * it: a variable that stands inside of another type (`Map<String, T>`) stays unknown.
     */
    static Type[] ofHandler(Class<?> type, Class<?> of) {
        Type[] arguments = argumentsOf(type, of);
        for (Class<?> in = type; in != null && arguments != null; in = in.getSuperclass()) {
            for (Type above : in.getGenericInterfaces()) {
                if (above instanceof ParameterizedType && raw(above) == of) {
                    Type[] named = ((ParameterizedType) above).getActualTypeArguments();
                    for (int at = 0; at < named.length; at++) {
                        arguments[at] = named[at] instanceof ParameterizedType ? named[at] : arguments[at];
                    }
                    return arguments;
                }
            }
        }
        return arguments;
    }

    /** What the type parameters of `of` are in `type`, which is one; nothing where it does not say. */
    static Type[] argumentsOf(Type type, Class<?> of) {
        if (raw(type) == of) {
            return type instanceof ParameterizedType ? ((ParameterizedType) type).getActualTypeArguments() : null;
        }
        Map<TypeVariable<?>, Type> known = variables(type);
        Class<?> raw = raw(type);
        for (Type above : raw.getGenericInterfaces()) {
            if (of.isAssignableFrom(raw(above))) {
                return argumentsOf(resolve(above, known), of);
            }
        }
        Type parent = raw.getGenericSuperclass();
        return parent != null && of.isAssignableFrom(raw(parent)) ? argumentsOf(resolve(parent, known), of) : null;
    }

    /** The argument of a collection or a map, `Object` where it has none. */
    static Type argument(Type type, Class<?> of, int at) {
        Type[] arguments = argumentsOf(type, of);
        return arguments == null ? Object.class : arguments[at];
    }

    /** The type variables of a type, and of all above it. */
    static Map<TypeVariable<?>, Type> variables(Type type) {
        Map<TypeVariable<?>, Type> known = new HashMap<>();
        for (Type at = type; at != null; at = resolve(raw(at).getGenericSuperclass(), known)) {
            if (at instanceof ParameterizedType) {
                Type[] arguments = ((ParameterizedType) at).getActualTypeArguments();
                for (int index = 0; index < arguments.length; index++) {
                    known.put(raw(at).getTypeParameters()[index], arguments[index]);
                }
            }
        }
        return known;
    }

    /** A type with what is known of its variables put in their places. */
    static Type resolve(Type type, Map<TypeVariable<?>, Type> known) {
        if (type instanceof TypeVariable) {
            return known.getOrDefault(type, type);
        }
        if (type instanceof WildcardType) {
            return resolve(((WildcardType) type).getUpperBounds()[0], known);
        }
        if (type instanceof GenericArrayType) {
            Type component = resolve(((GenericArrayType) type).getGenericComponentType(), known);
            return (GenericArrayType) () -> component;
        }
        if (!(type instanceof ParameterizedType)) {
            return type;
        }
        ParameterizedType generic = (ParameterizedType) type;
        Type[] arguments = generic.getActualTypeArguments();
        for (int at = 0; at < arguments.length; at++) {
            arguments[at] = resolve(arguments[at], known);
        }
        return new ParameterizedType() {
            @Override
            public Type[] getActualTypeArguments() {
                return arguments.clone();
            }

            @Override
            public Type getRawType() {
                return generic.getRawType();
            }

            @Override
            public Type getOwnerType() {
                return generic.getOwnerType();
            }
        };
    }
}
