package lambdapack;

import java.util.HashMap;
import java.util.Map;

/**
 * Where classes of aws-lambda-java-events are called otherwise than their events, or have no setters; as the `mixins` and
 * `S3EventSerializer` of aws-lambda-java-serialization say it.
 */
final class Events {
    private Events() {}

    private static final Map<String, String[]> CONSTRUCTED = new HashMap<>();

    static {
        put("S3Event", "Records");
        put("S3EventNotification", "Records");
        put("S3EventNotificationRecord", "awsRegion", "eventName", "eventSource", "eventTime", "eventVersion", "requestParameters",
                "responseElements", "s3", "userIdentity");
        put("S3Entity", "configurationId", "bucket", "object", "s3SchemaVersion");
        put("S3BucketEntity", "name", "ownerIdentity", "arn");
        put("S3ObjectEntity", "key", "size", "eTag", "versionId", "sequencer");
        put("RequestParametersEntity", "sourceIPAddress");
        put("ResponseElementsEntity", "x-amz-id-2", "x-amz-request-id");
        put("UserIdentityEntity", "principalId");
    }

    private static void put(String type, String... names) {
        CONSTRUCTED.put(type, names);
    }

    /** What the one constructor of a class is given, in its order; nothing for others. */
    static String[] constructed(Class<?> type) {
        boolean isOfS3 = type.getName().contains("S3Event");
        return isOfS3 ? CONSTRUCTED.get(type.getSimpleName()) : null;
    }

    /** The name of a property as it is written; nothing for what an event has not. */
    static String written(Class<?> type, String name) {
        String in = type.getName();
        if (in.endsWith("$S3ObjectEntity") && name.equals("sizeAsLong")) {
            return null;
        }
        if (in.contains(".S3EventNotification$ResponseElements")) {
            return name.equals("xAmzId2") ? "x-amz-id-2" : "x-amz-request-id";
        }
        if (in.contains(".SNSEvent") || in.contains(".models.dynamodb.") || in.contains(".dynamodbv2.model.")) {
            return name.equals("SNS") ? "Sns" : Character.toUpperCase(name.charAt(0)) + name.substring(1);
        }
        switch (name) {
            case "records":
                return "Records";
            case "eventSourceArn":
                return in.contains(".SQSEvent") || in.contains(".Dynamodb") ? "eventSourceARN" : name;
            case "detailType":
                return "detail-type";
            default:
                return name;
        }
    }
}
