package lambdapack;

import com.amazonaws.services.lambda.runtime.CustomPojoSerializer;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.reflect.Type;
import java.util.Iterator;
import java.util.ServiceLoader;

/** From JSON to objects and back: by the function's own serializer if it has one, else as Lambda's. */
final class Codec {
    private final CustomPojoSerializer own;

    Codec(ClassLoader loader) {
        Iterator<CustomPojoSerializer> found = ServiceLoader.load(CustomPojoSerializer.class, loader).iterator();
        own = found.hasNext() ? found.next() : null;
        if (found.hasNext()) {
            throw new IllegalStateException(
                    "Too many serializers provided inside the META-INF/services folder, only one is allowed");
        }
    }

    Object read(byte[] json, Type type) throws IOException {
        if (own != null) {
            return own.fromJson(new ByteArrayInputStream(json), type);
        }
        Object node = new Json(Bootstrap.text(json)).document();
        return new Reader(Types.isEvent(Types.raw(type))).read(node, type);
    }

    void write(Object value, Type type, OutputStream out) throws IOException {
        if (own != null) {
            own.toJson(value, out, type);
        } else {
            new Writer(Types.isEvent(Types.raw(type))).write(value, type, out);
        }
    }
}
