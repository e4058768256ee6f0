package lambdapack;

import java.lang.reflect.Array;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.Collections;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.LinkedList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;

/** Makes objects of what {@link Json} has read, as Jackson does with the settings of `JacksonFactory`. */
final class Reader {
    private final boolean isEvent;

    /** In events of aws-lambda-java-events, names and dates are others. */
    Reader(boolean isEvent) {
        this.isEvent = isEvent;
    }

    Object read(Object node, Type type) {
        Class<?> raw = Types.raw(type);
        if (raw == Optional.class) {
            return node == null ? Optional.empty() : Optional.ofNullable(read(node, Types.argument(type, Optional.class, 0)));
        }
        if (node == null) {
            return raw.isPrimitive() ? Scalars.zero(raw) : null;
        }
        if (raw == Object.class || raw == java.io.Serializable.class) {
            return plain(node);
        }
        if (raw == byte[].class || raw == ByteBuffer.class) {
            byte[] bytes = bytes(node);
            return raw == byte[].class ? bytes : ByteBuffer.wrap(bytes);
        }
        if (raw.isArray()) {
            Type component = type instanceof java.lang.reflect.GenericArrayType
                    ? ((java.lang.reflect.GenericArrayType) type).getGenericComponentType() : raw.getComponentType();
            return array(items(node), raw.getComponentType(), component);
        }
        if (Collection.class.isAssignableFrom(raw) || raw == Iterable.class) {
            return collection(node, raw, type);
        }
        if (Map.class.isAssignableFrom(raw)) {
            return map(node, raw, type);
        }
        if (node instanceof List) {
            // One value may stand in an array of its own.
            List<?> list = (List<?>) node;
            if (list.size() > 1) {
                throw mismatch(node, raw);
            }
            return list.isEmpty() ? read(null, type) : read(list.get(0), type);
        }
        if (Scalars.has(raw)) {
            return Scalars.read(node, raw, isEvent);
        }
        if (raw.isEnum()) {
            return constant(node, raw);
        }
        if ("".equals(node)) {
            return null;
        }
        if (!(node instanceof Map)) {
            throw new Json.Mismatch("Cannot construct instance of `" + raw.getName()
                    + "` (although at least one Creator exists): no creator takes " + kind(node));
        }
        return object((Map<?, ?>) node, raw, type);
    }

    /** Objects of no type in particular. */
    private static Object plain(Object node) {
        if (node instanceof Json.Literal) {
            return Scalars.number((Json.Literal) node);
        }
        if (node instanceof List) {
            List<Object> out = new ArrayList<>();
            for (Object item : (List<?>) node) {
                out.add(plain(item));
            }
            return out;
        }
        if (node instanceof Map) {
            Map<Object, Object> out = new LinkedHashMap<>();
            ((Map<?, ?>) node).forEach((name, value) -> out.put(name, plain(value)));
            return out;
        }
        return node;
    }

    private static byte[] bytes(Object node) {
        if (node instanceof List) {
            byte[] out = new byte[((List<?>) node).size()];
            int at = 0;
            for (Object item : (List<?>) node) {
                out[at++] = (Byte) Scalars.read(item, byte.class, false);
            }
            return out;
        }
        if (!(node instanceof String)) {
            throw mismatch(node, byte[].class);
        }
        return Base64.getMimeDecoder().decode((String) node);
    }

    /** One value counts as a list of one. */
    private static List<?> items(Object node) {
        return node instanceof List ? (List<?>) node : Collections.singletonList(node);
    }

    private Object array(List<?> items, Class<?> raw, Type component) {
        Object out = Array.newInstance(raw, items.size());
        for (int at = 0; at < items.size(); at++) {
            Array.set(out, at, read(items.get(at), component));
        }
        return out;
    }

    @SuppressWarnings("unchecked")
    private Object collection(Object node, Class<?> raw, Type type) {
        if ("".equals(node)) {
            return null;
        }
        Collection<Object> out;
        if (raw.isAssignableFrom(ArrayList.class)) {
            out = new ArrayList<>();
        } else if (raw.isAssignableFrom(java.util.HashSet.class)) {
            out = new java.util.HashSet<>();
        } else if (raw.isAssignableFrom(LinkedList.class)) {
            out = new LinkedList<>();
        } else if (raw.isAssignableFrom(TreeSet.class)) {
            out = new TreeSet<>();
        } else {
            out = (Collection<Object>) instance(raw);
        }
        Type element = raw == Iterable.class ? Types.argument(type, Iterable.class, 0) : Types.argument(type, Collection.class, 0);
        for (Object item : items(node)) {
            out.add(read(item, element));
        }
        return out;
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    private Object map(Object node, Class<?> raw, Type type) {
        if ("".equals(node) || node instanceof List && ((List<?>) node).isEmpty()) {
            return null;
        }
        if (!(node instanceof Map)) {
            throw mismatch(node, raw);
        }
        Type key = Types.argument(type, Map.class, 0);
        Type value = Types.argument(type, Map.class, 1);
        Map<Object, Object> out;
        if (raw.isAssignableFrom(LinkedHashMap.class)) {
            out = new LinkedHashMap<>();
        } else if (raw.isAssignableFrom(TreeMap.class)) {
            out = new TreeMap<>();
        } else if (raw == ConcurrentMap.class) {
            out = new ConcurrentHashMap<>();
        } else if (raw == EnumMap.class) {
            out = (Map<Object, Object>) (Map) new EnumMap(Types.raw(key));
        } else {
            out = (Map<Object, Object>) instance(raw);
        }
        ((Map<?, ?>) node).forEach((name, item) -> out.put(name(name, key), read(item, value)));
        return out;
    }

    private Object name(Object name, Type type) {
        Class<?> raw = Types.raw(type);
        return raw == Object.class || raw.isInstance(name) ? name : read(name, type);
    }

    private static Object constant(Object node, Class<?> raw) {
        Object[] constants = raw.getEnumConstants();
        if (node instanceof Json.Literal && ((Json.Literal) node).isWhole()) {
            int at = Integer.parseInt(((Json.Literal) node).text);
            return at >= 0 && at < constants.length ? constants[at] : null;
        }
        for (Object constant : constants) {
            if (((Enum<?>) constant).name().equals(String.valueOf(node))) {
                return constant;
            }
        }
        // What is not known is nothing.
        return null;
    }

    private Object object(Map<?, ?> node, Class<?> raw, Type type) {
        String[] names = isEvent ? Events.constructed(raw) : null;
        if (names != null) {
            return constructed(node, raw, names);
        }
        if (Record.is(raw)) {
            return record(node, raw, type);
        }
        Object out = instance(raw);
        Bean bean = Bean.of(raw);
        Map<TypeVariable<?>, Type> known = Types.variables(type);
        for (Map.Entry<?, ?> entry : node.entrySet()) {
            Bean.Property property = bean.named(String.valueOf(entry.getKey()), isEvent);
            if (property != null && property.isRead()) {
                try {
                    property.set(out, read(entry.getValue(), Types.resolve(property.type(), known)));
                } catch (RuntimeException e) {
                    throw e;
                } catch (Throwable e) {
                    throw new IllegalArgumentException("Problem deserializing property '" + property.name + "'", e);
                }
            }
        }
        return out;
    }

    private Object constructed(Map<?, ?> node, Class<?> raw, String[] names) {
        for (Constructor<?> constructor : raw.getConstructors()) {
            Type[] types = constructor.getGenericParameterTypes();
            if (types.length == names.length) {
                Object[] arguments = new Object[names.length];
                for (int at = 0; at < names.length; at++) {
                    arguments[at] = read(node.get(names[at]), types[at]);
                }
                return make(constructor, arguments);
            }
        }
        return instance(raw);
    }

    private Object record(Map<?, ?> node, Class<?> raw, Type type) {
        Map<TypeVariable<?>, Type> known = Types.variables(type);
        List<Record.Component> components = Record.components(raw);
        Class<?>[] types = new Class<?>[components.size()];
        Object[] arguments = new Object[types.length];
        for (int at = 0; at < types.length; at++) {
            Record.Component component = components.get(at);
            types[at] = component.type;
            arguments[at] = read(node.get(component.name), Types.resolve(component.generic, known));
        }
        try {
            return make(raw.getDeclaredConstructor(types), arguments);
        } catch (NoSuchMethodException e) {
            throw new IllegalArgumentException(e);
        }
    }

    private static Object instance(Class<?> raw) {
        if (raw.isInterface() || Modifier.isAbstract(raw.getModifiers())) {
            throw new Json.Mismatch("Cannot construct instance of `" + raw.getName() + "` (no Creators, like default constructor, "
                    + "exist): abstract types either need to be mapped to concrete types, have custom deserializer, or contain "
                    + "additional type information");
        }
        try {
            return make(raw.getDeclaredConstructor());
        } catch (NoSuchMethodException e) {
            throw new Json.Mismatch("Cannot construct instance of `" + raw.getName() + "` (no Creators, like default constructor, "
                    + "exist): cannot deserialize from Object value (no delegate- or property-based Creator)");
        }
    }

    private static Object make(Constructor<?> constructor, Object... arguments) {
        try {
            constructor.setAccessible(true);
            return constructor.newInstance(arguments);
        } catch (InvocationTargetException e) {
            String message = "Cannot construct instance of `" + constructor.getName() + "`, problem: " + e.getCause();
            throw new IllegalArgumentException(message, e.getCause());
        } catch (ReflectiveOperationException e) {
            throw new IllegalArgumentException(e);
        }
    }

    static Json.Mismatch mismatch(Object node, Class<?> raw) {
        return new Json.Mismatch("Cannot deserialize value of type `" + raw.getTypeName() + "` from " + kind(node));
    }

    private static String kind(Object node) {
        if (node instanceof Map) {
            return "Object value (token `JsonToken.START_OBJECT`)";
        }
        if (node instanceof List) {
            return "Array value (token `JsonToken.START_ARRAY`)";
        }
        if (node instanceof String) {
            return "String value ('" + node + "')";
        }
        return node instanceof Boolean ? "Boolean value" : "Number value (" + node + ")";
    }

    /** A static method that makes one of a text, if a class has it. */
    static Method parser(Class<?> raw) {
        try {
            return raw.getMethod("parse", CharSequence.class);
        } catch (NoSuchMethodException e) {
            return null;
        }
    }
}
