//! Lambda's quotas, in bytes, and the words it refuses with.
//!
//! Sources: "Lambda quotas" in the AWS Lambda Developer Guide; `GetAccountSettings` (`CodeSizeZipped`,
//! `CodeSizeUnzipped`); the exact boundary of the unzipped size was observed on the service: 262,143,000 bytes are taken,
//! 262,144,000 are not.

/// A zip sent in the request must be smaller than this.
pub const ZIP_DIRECT_LIMIT: u64 = 52_428_800;
/// What Lambda says at [`ZIP_DIRECT_LIMIT`] (HTTP 413, `RequestEntityTooLargeException`).
pub const ZIP_DIRECT_MESSAGE: &str = "Zipped size must be smaller than 52428800 bytes";

/// Function and layers unzipped must together be smaller than this.
pub const UNZIPPED_LIMIT: u64 = 262_144_000;
/// What Lambda says at [`UNZIPPED_LIMIT`] (`InvalidParameterValueException`).
pub const UNZIPPED_MESSAGE: &str = "Unzipped size must be smaller than 262144000 bytes";

/// What Lambda says of a zip that it cannot read (`InvalidParameterValueException`).
pub const UNZIP_MESSAGE: &str = "Could not unzip uploaded file. Please check your file, then try to upload again.";

/// The compact JSON of the variables may have this many bytes, not one more.
pub const ENVIRONMENT_LIMIT: usize = 4_096;
/// What Lambda says above [`ENVIRONMENT_LIMIT`], followed by `String measured: {json}` (left out here: values are secrets).
pub const ENVIRONMENT_MESSAGE: &str = "Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit.";
/// What Lambda says of reserved keys, followed by the keys.
pub const RESERVED_KEY_MESSAGE: &str = "Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request:";

/// A handler has at most this many characters, none of them white space (`Handler` in the Lambda API model).
pub const HANDLER_LENGTH: usize = 128;

/// A function has at most so many layers.
pub const LAYERS_PER_FUNCTION: usize = 5;
/// What Lambda says above [`LAYERS_PER_FUNCTION`] (`InvalidParameterValueException`).
pub const LAYERS_MESSAGE: &str = "Cannot reference more than 5 layers.";
/// What Lambda says when a function and its layers reach [`UNZIPPED_LIMIT`], followed by `The actual size is N bytes.`
pub const COMBINED_MESSAGE: &str =
    "Function code combined with layers exceeds the maximum allowed size of 262144000 bytes.";
/// What Lambda says when layers alone reach [`UNZIPPED_LIMIT`].
pub const LAYERS_SIZE_MESSAGE: &str = "Layers consume more than the available size of 262144000 bytes";
/// A layer name has at most this many characters of `[a-zA-Z0-9-_]` (`LayerName` in the Lambda API model).
pub const LAYER_NAME_LENGTH: usize = 140;
/// A layer version names at most so many compatible runtimes (`CompatibleRuntimes` in the Lambda API model).
pub const COMPATIBLE_RUNTIMES: usize = 15;

/// A function name has at most this many characters of `[a-zA-Z0-9-_]` (`FunctionName` in the Lambda API model).
pub const FUNCTION_NAME_LENGTH: usize = 64;

/// An image may have so many bytes uncompressed, all layers together ("Lambda quotas").
pub const IMAGE_LIMIT: u64 = 10 << 30;
/// What a function says that was made of an image above [`IMAGE_LIMIT`] (`StateReason`; the image is read after the call).
pub const IMAGE_SIZE_MESSAGE: &str =
    "InvalidImage(SizeLimitExceeded: Uncompressed container image size exceeds 10 GiB limit)";
/// What Lambda says of an index, and of media types that it does not know (`InvalidParameterValueException`), with the image's
/// URI in place of `<uri>`.
pub const IMAGE_MEDIA_TYPE_MESSAGE: &str =
    "The image manifest, config or layer media type for the source image <uri> is not supported.";
/// What a function says that was made of an image with a layer that is not gzipped (`StateReason`), followed by its digest.
pub const IMAGE_LAYER_MESSAGE: &str = "InvalidImage(ImageLayerFailure: UnsupportedImageLayerDetected - Layer Digest";
/// An image has at most so many layers: Docker's limit, which registries and sandboxes keep. Lambda names none.
pub const IMAGE_LAYERS: usize = 127;
