package lambdapack;

import java.lang.reflect.AccessibleObject;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * The properties of a class, as `JacksonFactory` of aws-lambda-java-serialization sets Jackson up: public getters and fields are
 * written, setters of any kind and public fields are read, names are those of the JavaBeans specification.
 */
final class Bean {
    /** One of them. */
    static final class Property {
        final String name;
        private Method getter;
        private Field field;
        private final List<Method> setters = new ArrayList<>();

        Property(String name) {
            this.name = name;
        }

        boolean isWritten() {
            return getter != null || field != null;
        }

        boolean isRead() {
            return field != null || !setters.isEmpty();
        }

        Object get(Object of) throws Throwable {
            try {
                return getter != null ? getter.invoke(of) : field.get(of);
            } catch (InvocationTargetException e) {
                throw e.getCause() == null ? e : e.getCause();
            }
        }

        /** Of setters of one name, that of a primitive type, then one of a text, then the first. */
        private Method setter() {
            Method chosen = setters.get(0);
            for (Method setter : setters) {
                Class<?> type = setter.getParameterTypes()[0];
                if (type.isPrimitive()) {
                    return setter;
                }
                chosen = type == String.class ? setter : chosen;
            }
            return chosen;
        }

        Type type() {
            return setters.isEmpty() ? field.getGenericType() : setter().getGenericParameterTypes()[0];
        }

        void set(Object of, Object value) throws Throwable {
            try {
                if (setters.isEmpty()) {
                    field.set(of, value);
                } else {
                    setter().invoke(of, value);
                }
            } catch (InvocationTargetException e) {
                throw e.getCause() == null ? e : e.getCause();
            }
        }
    }

    private static final Map<Class<?>, Bean> KNOWN = new ConcurrentHashMap<>();
    final Map<String, Property> properties = new LinkedHashMap<>();
    private final Map<String, Property> folded = new LinkedHashMap<>();

    static Bean of(Class<?> type) {
        Bean known = KNOWN.get(type);
        if (known == null) {
            known = new Bean(type);
            KNOWN.put(type, known);
        }
        return known;
    }

    private Bean(Class<?> type) {
        List<Class<?>> line = new ArrayList<>();
        for (Class<?> at = type; at != null && at != Object.class; at = at.getSuperclass()) {
            line.add(0, at);
        }
        for (Class<?> at : line) {
            for (Field field : at.getDeclaredFields()) {
                if (Modifier.isStatic(field.getModifiers()) || field.isSynthetic() || Modifier.isTransient(field.getModifiers())) {
                    continue;
                }
                // Fields say the order of properties, also those that are not public.
                Property property = property(field.getName());
                property.field = Modifier.isPublic(field.getModifiers()) && opened(field) ? field : null;
            }
        }
        for (Class<?> at : line) {
            for (Method method : at.getDeclaredMethods()) {
                add(method);
            }
        }
        for (Method method : type.getMethods()) {
            if (method.getDeclaringClass().isInterface()) {
                add(method);
            }
        }
        for (Record.Component component : Record.components(type)) {
            Property property = property(component.name);
            property.getter = opened(component.accessor) ? component.accessor : null;
        }
        properties.values().removeIf(property -> !property.isRead() && !property.isWritten());
        for (Property property : properties.values()) {
            if (property.isRead()) {
                folded.put(fold(property.name), property);
            }
        }
    }

    private Property property(String name) {
        return properties.computeIfAbsent(name, Property::new);
    }

    private void add(Method method) {
        String name = method.getName();
        if (Modifier.isStatic(method.getModifiers()) || method.isBridge() || method.isSynthetic()) {
            return;
        }
        Class<?> type = method.getReturnType();
        if (method.getParameterCount() == 0 && Modifier.isPublic(method.getModifiers()) && type != void.class) {
            boolean isFlag = name.startsWith("is") && name.length() > 2 && (type == boolean.class || type == Boolean.class);
            boolean isGetter = name.startsWith("get") && name.length() > 3 && !name.equals("getClass");
            if ((isFlag || isGetter) && opened(method)) {
                Property property = property(decapitalized(name.substring(isFlag ? 2 : 3)));
                property.getter = isFlag && property.getter != null && property.getter.getName().startsWith("get")
                        ? property.getter : method;
            }
        } else if (method.getParameterCount() == 1 && name.startsWith("set") && name.length() > 3 && opened(method)) {
            Property property = property(decapitalized(name.substring(3)));
            // What overrides another one stands in its place.
            property.setters.removeIf(other -> other.getParameterTypes()[0] == method.getParameterTypes()[0]);
            property.setters.add(method);
        }
    }

    private static boolean opened(AccessibleObject member) {
        try {
            member.setAccessible(true);
            return true;
        } catch (RuntimeException e) {
            // A class of Java itself, of a package that is not open: only what is public works.
            return Modifier.isPublic(((java.lang.reflect.Member) member).getModifiers());
        }
    }

    /** `URL` stays as it is. */
    private static String decapitalized(String name) {
        boolean isAcronym = name.length() > 1 && Character.isUpperCase(name.charAt(0)) && Character.isUpperCase(name.charAt(1));
        return isAcronym ? name : Character.toLowerCase(name.charAt(0)) + name.substring(1);
    }

    /** Names of events differ from those of their classes in case and hyphens. */
    private static String fold(String name) {
        return name.replace("-", "").toLowerCase(Locale.ROOT);
    }

    Property named(String name, boolean isEvent) {
        Property exact = properties.get(name);
        return exact == null && isEvent ? folded.get(fold(name)) : exact;
    }
}
