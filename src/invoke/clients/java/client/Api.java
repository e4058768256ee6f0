package lambdapack;

import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/**
 * The Runtime API, on a socket of its own: proxies, cookies and handlers of URLs that a function sets do not concern it.
 */
final class Api {
    /** What was answered. Names of headers are in lower case. */
    static final class Answer {
        final int status;
        final Map<String, String> headers;
        final byte[] body;

        Answer(int status, Map<String, String> headers, byte[] body) {
            this.status = status;
            this.headers = headers;
            this.body = body;
        }
    }

    private static final String ROOT = "/2018-06-01/runtime/";
    private final String address;

    Api(String address) {
        this.address = address;
    }

    Answer next() throws IOException {
        return call("GET", "invocation/next", null, null);
    }

    void respond(String id, byte[] body) throws IOException {
        call("POST", "invocation/" + id + "/response", body, null);
    }

    void fail(String id, byte[] document, String kind) throws IOException {
        call("POST", "invocation/" + id + "/error", document, kind);
    }

    void failInit(byte[] document, String kind) throws IOException {
        call("POST", "init/error", document, kind);
    }

    private Answer call(String method, String path, byte[] body, String kind) throws IOException {
        int colon = address.lastIndexOf(':');
        try (Socket socket = new Socket(address.substring(0, colon), Integer.parseInt(address.substring(colon + 1)))) {
            StringBuilder head = new StringBuilder(method + " " + ROOT + path + " HTTP/1.1\r\nHost: " + address);
            head.append("\r\nConnection: close\r\n");
            if (body != null) {
                head.append("Content-Type: application/json\r\nContent-Length: ").append(body.length).append("\r\n");
            }
            if (kind != null && !kind.isEmpty()) {
                head.append("Lambda-Runtime-Function-Error-Type: ").append(kind.replaceAll("[^ -~]", "?")).append("\r\n");
            }
            byte[] start = head.append("\r\n").toString().getBytes(StandardCharsets.ISO_8859_1);
            ByteArrayOutputStream whole = new ByteArrayOutputStream();
            whole.write(start);
            if (body != null) {
                whole.write(body);
            }
            whole.writeTo(socket.getOutputStream());
            return answer(socket.getInputStream());
        }
    }

    private static Answer answer(InputStream from) throws IOException {
        java.io.BufferedInputStream in = new java.io.BufferedInputStream(from, 1 << 16);
        String[] first = line(in).split(" ");
        Map<String, String> headers = new HashMap<>();
        for (String line = line(in); !line.isEmpty(); line = line(in)) {
            int colon = line.indexOf(':');
            headers.put(line.substring(0, colon).toLowerCase(Locale.ROOT), line.substring(colon + 1).trim());
        }
        String length = headers.get("content-length");
        ByteArrayOutputStream body = new ByteArrayOutputStream();
        byte[] buffer = new byte[1 << 16];
        long left = length == null ? Long.MAX_VALUE : Long.parseLong(length);
        while (left > 0) {
            int read = in.read(buffer, 0, (int) Math.min(buffer.length, left));
            if (read < 0) {
                break;
            }
            body.write(buffer, 0, read);
            left -= read;
        }
        return new Answer(Integer.parseInt(first[1]), headers, body.toByteArray());
    }

    private static String line(InputStream in) throws IOException {
        ByteArrayOutputStream line = new ByteArrayOutputStream();
        for (int b = in.read(); b != '\n'; b = in.read()) {
            if (b < 0) {
                throw new EOFException("the Runtime API does not answer");
            }
            if (b != '\r') {
                line.write(b);
            }
        }
        return new String(line.toByteArray(), StandardCharsets.UTF_8);
    }
}
