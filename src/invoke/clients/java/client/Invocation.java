package lambdapack;

import com.amazonaws.services.lambda.runtime.Client;
import com.amazonaws.services.lambda.runtime.ClientContext;
import com.amazonaws.services.lambda.runtime.CognitoIdentity;
import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.LambdaLogger;
import com.amazonaws.services.lambda.runtime.LambdaRuntime;
import java.util.LinkedHashMap;
import java.util.Map;

/** An event's surroundings, of the headers that it came with. */
final class Invocation implements Context {
    private final Map<String, String> headers;
    private final ClientContext client;
    private final CognitoIdentity identity;

    Invocation(Map<String, String> headers) {
        this.headers = headers;
        Map<String, Object> said = object(headers.get("lambda-runtime-client-context"));
        this.client = said == null ? null : new Caller(said);
        Map<String, Object> who = object(headers.get("lambda-runtime-cognito-identity"));
        this.identity = who == null ? null : new Identity(who);
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Object> object(String json) {
        if (json == null || json.isEmpty()) {
            return null;
        }
        Object value = new Json(json).document();
        return value instanceof Map ? (Map<String, Object>) value : null;
    }

    @Override
    public String getAwsRequestId() {
        return headers.get("lambda-runtime-aws-request-id");
    }

    @Override
    public String getInvokedFunctionArn() {
        return headers.get("lambda-runtime-invoked-function-arn");
    }

    @Override
    public String getXrayTraceId() {
        return headers.get("lambda-runtime-trace-id");
    }

    @Override
    public String getTenantId() {
        return headers.get("lambda-runtime-aws-tenant-id");
    }

    @Override
    public int getRemainingTimeInMillis() {
        long deadline = Long.parseLong(headers.getOrDefault("lambda-runtime-deadline-ms", "0"));
        return (int) Math.max(0, deadline - System.currentTimeMillis());
    }

    @Override
    public String getLogGroupName() {
        return System.getenv("AWS_LAMBDA_LOG_GROUP_NAME");
    }

    @Override
    public String getLogStreamName() {
        return System.getenv("AWS_LAMBDA_LOG_STREAM_NAME");
    }

    @Override
    public String getFunctionName() {
        return System.getenv("AWS_LAMBDA_FUNCTION_NAME");
    }

    @Override
    public String getFunctionVersion() {
        return System.getenv("AWS_LAMBDA_FUNCTION_VERSION");
    }

    @Override
    public int getMemoryLimitInMB() {
        return Integer.parseInt(System.getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"));
    }

    @Override
    public CognitoIdentity getIdentity() {
        return identity;
    }

    @Override
    public ClientContext getClientContext() {
        return client;
    }

    @Override
    public LambdaLogger getLogger() {
        return LambdaRuntime.getLogger();
    }

    /** A text in an object of JSON. */
    private static String text(Object in, String name) {
        Object value = in instanceof Map ? ((Map<?, ?>) in).get(name) : null;
        return value == null ? null : String.valueOf(value);
    }

    private static final class Identity implements CognitoIdentity {
        private final Map<String, Object> who;

        Identity(Map<String, Object> who) {
            this.who = who;
        }

        @Override
        public String getIdentityId() {
            return text(who, "cognitoIdentityId");
        }

        @Override
        public String getIdentityPoolId() {
            return text(who, "cognitoIdentityPoolId");
        }
    }

    private static final class Caller implements ClientContext {
        private final Map<String, Object> said;

        Caller(Map<String, Object> said) {
            this.said = said;
        }

        @Override
        public Client getClient() {
            Object client = said.get("client");
            return client == null ? null : new Application(client);
        }

        @Override
        public Map<String, String> getCustom() {
            return texts(said.get("custom"));
        }

        @Override
        public Map<String, String> getEnvironment() {
            return texts(said.get("env"));
        }

        private static Map<String, String> texts(Object of) {
            if (!(of instanceof Map)) {
                return null;
            }
            Map<String, String> out = new LinkedHashMap<>();
            for (Object name : ((Map<?, ?>) of).keySet()) {
                out.put(String.valueOf(name), text(of, String.valueOf(name)));
            }
            return out;
        }
    }

    private static final class Application implements Client {
        private final Object said;

        Application(Object said) {
            this.said = said;
        }

        @Override
        public String getInstallationId() {
            return text(said, "installation_id");
        }

        @Override
        public String getAppTitle() {
            return text(said, "app_title");
        }

        @Override
        public String getAppVersionName() {
            return text(said, "app_version_name");
        }

        @Override
        public String getAppVersionCode() {
            return text(said, "app_version_code");
        }

        @Override
        public String getAppPackageName() {
            return text(said, "app_package_name");
        }
    }
}
