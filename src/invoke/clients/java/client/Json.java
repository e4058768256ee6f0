package lambdapack;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads JSON: objects as maps, arrays as lists, numbers as {@link Literal}, for it depends on who takes one what it is. Events
 * are valid when they come; what Lambda's parser takes beyond that is of no use here.
 */
final class Json {
    /** A number as it was written. */
    static final class Literal {
        final String text;

        Literal(String text) {
            this.text = text;
        }

        boolean isWhole() {
            return text.indexOf('.') < 0 && text.indexOf('e') < 0 && text.indexOf('E') < 0;
        }

        @Override
        public String toString() {
            return text;
        }
    }

    /** JSON that does not fit. */
    static final class Mismatch extends RuntimeException {
        private static final long serialVersionUID = 1;

        Mismatch(String message) {
            super(message);
        }
    }

    private static final int MAX_DEPTH = 1_000;
    private final String text;
    private int at;
    private int depth;

    Json(String text) {
        this.text = text;
    }

    Object document() {
        return value();
    }

    private Object value() {
        char first = peek();
        if (++depth > MAX_DEPTH) {
            throw new Mismatch("Document nesting depth exceeds the maximum allowed (" + MAX_DEPTH + ")");
        }
        try {
            switch (first) {
                case '{':
                    return object();
                case '[':
                    return array();
                case '"':
                    return string();
                default:
                    return word();
            }
        } finally {
            depth--;
        }
    }

    private Map<String, Object> object() {
        Map<String, Object> out = new LinkedHashMap<>();
        at++;
        while (peek() != '}') {
            String name = string();
            expect(':');
            out.put(name, value());
            if (peek() != '}') {
                expect(',');
            }
        }
        at++;
        return out;
    }

    private List<Object> array() {
        List<Object> out = new ArrayList<>();
        at++;
        while (peek() != ']') {
            out.add(value());
            if (peek() != ']') {
                expect(',');
            }
        }
        at++;
        return out;
    }

    private Object word() {
        int begin = at;
        while (at < text.length() && ",]} \t\r\n:".indexOf(text.charAt(at)) < 0) {
            at++;
        }
        String word = text.substring(begin, at);
        switch (word) {
            case "null":
                return null;
            case "true":
                return true;
            case "false":
                return false;
            default:
                if (word.isEmpty() || "-0123456789".indexOf(word.charAt(0)) < 0) {
                    throw new Mismatch("Unrecognized token '" + word + "'");
                }
                return new Literal(word);
        }
    }

    private String string() {
        expect('"');
        StringBuilder out = new StringBuilder();
        for (char c = take(); c != '"'; c = take()) {
            out.append(c == '\\' ? escaped() : c);
        }
        return out.toString();
    }

    private char escaped() {
        char c = take();
        switch (c) {
            case 'b':
                return '\b';
            case 'f':
                return '\f';
            case 'n':
                return '\n';
            case 'r':
                return '\r';
            case 't':
                return '\t';
            case 'u':
                at += 4;
                return (char) Integer.parseInt(text.substring(at - 4, at), 16);
            default:
                return c;
        }
    }

    private char take() {
        if (at >= text.length()) {
            throw new Mismatch("Unexpected end-of-input");
        }
        return text.charAt(at++);
    }

    private char peek() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
        if (at >= text.length()) {
            throw new Mismatch("No content to map due to end-of-input");
        }
        return text.charAt(at);
    }

    private void expect(char wanted) {
        char found = peek();
        if (found != wanted) {
            throw new Mismatch("Unexpected character ('" + found + "'): was expecting '" + wanted + "'");
        }
        at++;
    }
}
