package lambdapack;

import java.lang.reflect.Method;
import java.lang.reflect.Type;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** Records, by reflection: this client also compiles where Java has none. */
final class Record {
    private Record() {}

    /** What a record is made of. */
    static final class Component {
        final String name;
        final Class<?> type;
        final Type generic;
        final Method accessor;

        Component(Object component) throws ReflectiveOperationException {
            Class<?> itself = component.getClass();
            name = (String) itself.getMethod("getName").invoke(component);
            type = (Class<?>) itself.getMethod("getType").invoke(component);
            generic = (Type) itself.getMethod("getGenericType").invoke(component);
            accessor = (Method) itself.getMethod("getAccessor").invoke(component);
        }
    }

    /** The components of a record; none for other classes. */
    static List<Component> components(Class<?> of) {
        try {
            Object[] components = (Object[]) Class.class.getMethod("getRecordComponents").invoke(of);
            if (components == null) {
                return Collections.emptyList();
            }
            List<Component> out = new ArrayList<>();
            for (Object component : components) {
                out.add(new Component(component));
            }
            return out;
        } catch (ReflectiveOperationException e) {
            return Collections.emptyList();
        }
    }

    static boolean is(Class<?> type) {
        return type.getSuperclass() != null && type.getSuperclass().getName().equals("java.lang.Record");
    }
}
