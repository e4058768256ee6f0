package lambdapack;

import java.io.IOException;
import java.io.OutputStream;
import java.lang.reflect.Array;
import java.lang.reflect.Type;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.OffsetDateTime;
import java.time.ZonedDateTime;
import java.time.temporal.TemporalAccessor;
import java.util.Arrays;
import java.util.Base64;
import java.util.Calendar;
import java.util.Date;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Writes objects as JSON, as Jackson does with the settings of `JacksonFactory`: what is null is left out of objects. */
final class Writer {
    private static final int MAX_DEPTH = 1_000;
    private final boolean isEvent;
    private final StringBuilder out = new StringBuilder();
    private int depth;

    Writer(boolean isEvent) {
        this.isEvent = isEvent;
    }

    /** Of what a method gives, the properties of its declared type are written; below that, those of the objects. */
    void write(Object value, Type type, OutputStream to) throws IOException {
        try {
            value(value, Types.raw(type));
        } catch (IOException | RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new IOException(e.getMessage(), e);
        }
        to.write(out.toString().getBytes(StandardCharsets.UTF_8));
    }

    private void value(Object value, Class<?> declared) throws Throwable {
        if (++depth > MAX_DEPTH) {
            throw new IOException("Document nesting depth exceeds the maximum allowed (" + MAX_DEPTH + ")");
        }
        if (!scalar(value)) {
            if (value instanceof Map) {
                map((Map<?, ?>) value);
            } else if (value instanceof Iterable && !(value instanceof java.nio.file.Path)) {
                items(((Iterable<?>) value).iterator());
            } else if (value instanceof Iterator) {
                items((Iterator<?>) value);
            } else if (value.getClass().isArray()) {
                items(elements(value).iterator());
            } else if (value instanceof Map.Entry) {
                map(java.util.Collections.singletonMap(((Map.Entry<?, ?>) value).getKey(), ((Map.Entry<?, ?>) value).getValue()));
            } else if (value instanceof Optional) {
                value(((Optional<?>) value).orElse(null), Object.class);
            } else {
                boolean isGeneral = declared == Object.class || !declared.isInstance(value);
                object(value, isGeneral ? value.getClass() : declared);
            }
        }
        depth--;
    }

    private static List<Object> elements(Object array) {
        Object[] out = new Object[Array.getLength(array)];
        for (int at = 0; at < out.length; at++) {
            out[at] = Array.get(array, at);
        }
        return Arrays.asList(out);
    }

    private boolean scalar(Object value) {
        if (value == null || value instanceof Boolean) {
            out.append(value);
        } else if (value instanceof Number) {
            boolean isNoNumber = value instanceof Double && !Double.isFinite((Double) value)
                    || value instanceof Float && !Float.isFinite((Float) value);
            out.append(isNoNumber ? "\"" + value + "\"" : value.toString());
        } else if (value instanceof Enum) {
            text(((Enum<?>) value).name());
        } else if (value instanceof byte[]) {
            text(Base64.getEncoder().encodeToString((byte[]) value));
        } else if (value instanceof ByteBuffer) {
            ByteBuffer copy = ((ByteBuffer) value).duplicate();
            byte[] bytes = new byte[copy.remaining()];
            copy.get(bytes);
            text(Base64.getEncoder().encodeToString(bytes));
        } else if (value instanceof char[]) {
            text(new String((char[]) value));
        } else if (value instanceof Class) {
            text(((Class<?>) value).getName());
        } else if (value instanceof Date || value instanceof Calendar) {
            long millis = value instanceof Date ? ((Date) value).getTime() : ((Calendar) value).getTimeInMillis();
            out.append(isEvent ? String.valueOf(millis / 1000.0) : String.valueOf(millis));
        } else if (value instanceof TemporalAccessor || value instanceof Duration) {
            time(value);
        } else if (isText(value)) {
            text(value.toString());
        } else {
            return false;
        }
        return true;
    }

    /** What is written as it prints itself. */
    private static boolean isText(Object value) {
        String name = value.getClass().getName();
        return value instanceof CharSequence || value instanceof Character || value instanceof java.util.UUID
                || value instanceof java.net.URI || value instanceof java.net.URL || value instanceof java.util.Locale
                || value instanceof java.io.File || value instanceof java.nio.file.Path || value instanceof java.util.Currency
                || value instanceof java.util.regex.Pattern || value instanceof java.nio.charset.Charset
                || name.startsWith("org.joda.time.") || name.startsWith("java.time.");
    }

    private void time(Object value) {
        if (value instanceof Instant) {
            seconds(((Instant) value).getEpochSecond(), ((Instant) value).getNano());
        } else if (value instanceof OffsetDateTime) {
            time(((OffsetDateTime) value).toInstant());
        } else if (value instanceof ZonedDateTime) {
            time(((ZonedDateTime) value).toInstant());
        } else if (value instanceof Duration) {
            seconds(((Duration) value).getSeconds(), ((Duration) value).getNano());
        } else if (value instanceof LocalDate) {
            out.append('[').append(fields((LocalDate) value)).append(']');
        } else if (value instanceof LocalTime) {
            out.append('[').append(fields((LocalTime) value)).append(']');
        } else if (value instanceof LocalDateTime) {
            LocalDateTime both = (LocalDateTime) value;
            out.append('[').append(fields(both.toLocalDate())).append(',').append(fields(both.toLocalTime())).append(']');
        } else if (value instanceof Enum) {
            text(((Enum<?>) value).name());
        } else if (value instanceof java.time.Year) {
            out.append(value);
        } else {
            text(value.toString());
        }
    }

    private void seconds(long whole, int nanos) {
        out.append(BigDecimal.valueOf(whole).add(BigDecimal.valueOf(nanos, 9)).toString());
    }

    private static String fields(LocalDate date) {
        return date.getYear() + "," + date.getMonthValue() + "," + date.getDayOfMonth();
    }

    private static String fields(LocalTime time) {
        String out = time.getHour() + "," + time.getMinute();
        if (time.getSecond() > 0 || time.getNano() > 0) {
            out += "," + time.getSecond();
        }
        return time.getNano() > 0 ? out + "," + time.getNano() : out;
    }

    private void items(Iterator<?> items) throws Throwable {
        out.append('[');
        for (boolean isFirst = true; items.hasNext(); isFirst = false) {
            out.append(isFirst ? "" : ",");
            value(items.next(), Object.class);
        }
        out.append(']');
    }

    private void map(Map<?, ?> map) throws Throwable {
        out.append('{');
        boolean isFirst = true;
        for (Map.Entry<?, ?> entry : map.entrySet()) {
            if (entry.getKey() == null) {
                throw new IOException("Null key for a Map not allowed in JSON (use a converting NullKeySerializer?)");
            }
            if (entry.getValue() != null) {
                Object key = entry.getKey();
                isFirst = field(isFirst, key instanceof Enum ? ((Enum<?>) key).name() : key.toString(), entry.getValue());
            }
        }
        out.append('}');
    }

    private void object(Object value, Class<?> type) throws Throwable {
        boolean isOfEvents = isEvent && type.getName().startsWith("com.amazonaws.services.");
        out.append('{');
        boolean isFirst = true;
        for (Bean.Property property : Bean.of(type).properties.values()) {
            Object inside = property.isWritten() ? property.get(value) : null;
            if (inside == value) {
                throw new IOException("Direct self-reference leading to cycle");
            }
            String name = isOfEvents ? Events.written(type, property.name) : property.name;
            if (inside != null && name != null) {
                isFirst = field(isFirst, name, inside);
            }
        }
        out.append('}');
    }

    private boolean field(boolean isFirst, String name, Object value) throws Throwable {
        out.append(isFirst ? "" : ",");
        text(name);
        out.append(':');
        value(value, Object.class);
        return false;
    }

    private void text(String text) {
        out.append('"');
        for (int at = 0; at < text.length(); at++) {
            char c = text.charAt(at);
            int known = "\b\t\n\f\r\"\\".indexOf(c);
            if (known >= 0) {
                out.append('\\').append("btnfr\"\\".charAt(known));
            } else if (c < ' ') {
                out.append(String.format("\\u%04X", (int) c));
            } else {
                out.append(c);
            }
        }
        out.append('"');
    }
}
