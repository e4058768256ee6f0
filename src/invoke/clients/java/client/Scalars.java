package lambdapack;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.net.URI;
import java.net.URL;
import java.time.Duration;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.ZonedDateTime;
import java.util.Date;
import java.util.Locale;
import java.util.UUID;

/** Values that are one word of JSON. */
final class Scalars {
    private Scalars() {}

    static boolean has(Class<?> raw) {
        return raw.isPrimitive() || raw == String.class || raw == CharSequence.class || raw == Boolean.class || raw == Character.class
                || Number.class.isAssignableFrom(raw) && raw.getName().startsWith("java.") || raw == Date.class
                || raw == UUID.class || raw == URI.class || raw == URL.class || raw == Locale.class
                || raw.getName().equals("org.joda.time.DateTime") || raw.getName().startsWith("java.time.");
    }

    static Object zero(Class<?> primitive) {
        return java.lang.reflect.Array.get(java.lang.reflect.Array.newInstance(primitive, 1), 0);
    }

    /** What a number is where nobody says so. */
    static Number number(Json.Literal literal) {
        if (!literal.isWhole()) {
            return Double.valueOf(literal.text);
        }
        BigInteger value = new BigInteger(literal.text);
        return value.bitLength() < 32 ? (Number) value.intValue() : value.bitLength() < 64 ? (Number) value.longValue() : value;
    }

    static Object read(Object node, Class<?> raw, boolean isEvent) {
        if (node instanceof java.util.Map || node instanceof java.util.List) {
            throw Reader.mismatch(node, raw);
        }
        if (raw == String.class || raw == CharSequence.class) {
            return node.toString();
        }
        String text = node.toString();
        if (node instanceof String && text.trim().isEmpty() && raw != char.class && raw != Character.class) {
            return raw.isPrimitive() ? zero(raw) : null;
        }
        try {
            return of(node, text.trim(), raw, isEvent);
        } catch (java.time.DateTimeException | IllegalArgumentException | java.net.MalformedURLException e) {
            throw new Json.Mismatch(Reader.mismatch(node, raw).getMessage() + ": " + e.getMessage());
        } catch (ReflectiveOperationException e) {
            throw Reader.mismatch(node, raw);
        }
    }

    private static Object of(Object node, String text, Class<?> raw, boolean isEvent)
            throws ReflectiveOperationException, java.net.MalformedURLException {
        if (raw == boolean.class || raw == Boolean.class) {
            return flag(node, text, raw);
        }
        if (raw == char.class || raw == Character.class) {
            String whole = node.toString();
            if (node instanceof Json.Literal) {
                return (char) Integer.parseInt(text);
            }
            if (whole.length() > 1) {
                throw Reader.mismatch(node, raw);
            }
            return whole.isEmpty() ? (raw == char.class ? (Object) '\0' : null) : (Object) whole.charAt(0);
        }
        if (node instanceof Boolean) {
            throw Reader.mismatch(node, raw);
        }
        if (raw.isPrimitive() || Number.class.isAssignableFrom(raw)) {
            return number(node, text, raw);
        }
        if (raw == Date.class) {
            return date(node, text, isEvent);
        }
        if (raw == UUID.class) {
            return UUID.fromString(text);
        }
        if (raw == URI.class) {
            return URI.create(text);
        }
        if (raw == URL.class) {
            return new URL(text);
        }
        if (raw == Locale.class) {
            return Locale.forLanguageTag(text.replace('_', '-'));
        }
        if (raw.getName().startsWith("org.joda.")) {
            return raw.getConstructor(Object.class).newInstance(text);
        }
        return time(node, text, raw);
    }

    private static Object flag(Object node, String text, Class<?> raw) {
        if (node instanceof Boolean) {
            return node;
        }
        if (node instanceof Json.Literal && ((Json.Literal) node).isWhole()) {
            return !new BigInteger(text).equals(BigInteger.ZERO);
        }
        if (text.equals("true") || text.equals("True") || text.equals("TRUE")) {
            return true;
        }
        if (text.equals("false") || text.equals("False") || text.equals("FALSE")) {
            return false;
        }
        throw Reader.mismatch(node, raw);
    }

    private static Object number(Object node, String text, Class<?> raw) {
        if (raw == BigDecimal.class) {
            return new BigDecimal(text);
        }
        if (raw == double.class || raw == Double.class) {
            return Double.valueOf(text.equals("INF") ? "Infinity" : text.equals("-INF") ? "-Infinity" : text);
        }
        if (raw == float.class || raw == Float.class) {
            return Float.valueOf(text);
        }
        if (raw == Number.class) {
            return number(new Json.Literal(text));
        }
        // A fraction is cut off, but only of a number.
        BigInteger value = node instanceof String ? new BigInteger(text) : new BigDecimal(text).toBigInteger();
        if (raw == BigInteger.class) {
            return value;
        }
        int bits = raw == long.class || raw == Long.class ? 64 : raw == int.class || raw == Integer.class ? 32
                : raw == short.class || raw == Short.class ? 16 : 8;
        // A byte may also be one without a sign.
        if (value.bitLength() >= bits && !(bits == 8 && value.signum() >= 0 && value.bitLength() == 8)) {
            throw new Json.Mismatch("Numeric value (" + text + ") out of range of " + raw.getSimpleName().toLowerCase(Locale.ROOT));
        }
        switch (bits) {
            case 64:
                return value.longValue();
            case 32:
                return value.intValue();
            case 16:
                return value.shortValue();
            default:
                return value.byteValue();
        }
    }

    /** Events count seconds, everything else milliseconds. */
    private static Object date(Object node, String text, boolean isEvent) {
        if (node instanceof Json.Literal) {
            if (!isEvent) {
                return new Date(new BigDecimal(text).longValue());
            }
            double seconds = Double.parseDouble(text);
            return seconds == 0 ? null : new Date((long) (seconds * 1000));
        }
        return Date.from(text.indexOf('T') < 0 ? Instant.parse(text + "T00:00:00Z") : OffsetDateTime.parse(text).toInstant());
    }

    private static Object time(Object node, String text, Class<?> raw) throws ReflectiveOperationException {
        if (node instanceof Json.Literal) {
            BigDecimal seconds = new BigDecimal(text);
            long whole = seconds.longValue();
            long rest = seconds.subtract(BigDecimal.valueOf(whole)).movePointRight(9).longValue();
            if (raw == Duration.class) {
                return Duration.ofSeconds(whole, rest);
            }
            Instant instant = Instant.ofEpochSecond(whole, rest);
            return raw == Instant.class ? instant
                    : raw == OffsetDateTime.class ? instant.atOffset(java.time.ZoneOffset.UTC)
                    : raw == ZonedDateTime.class ? instant.atZone(java.time.ZoneOffset.UTC) : unfit(node, raw);
        }
        if (raw == java.time.ZoneId.class || raw == java.time.ZoneOffset.class) {
            return raw.getMethod("of", String.class).invoke(null, text);
        }
        java.lang.reflect.Method parser = Reader.parser(raw);
        return parser == null ? unfit(node, raw) : parser.invoke(null, text);
    }

    private static Object unfit(Object node, Class<?> raw) {
        throw Reader.mismatch(node, raw);
    }
}
