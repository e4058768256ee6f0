//! What a call to AWS says when it fails, in a person's words and with the next step.
//!
//! A failed call becomes a [`Problem`], plain facts; a [`Problem`] and the [`Call`] that met it become an [`Error`]. What
//! the service says of itself is quoted, credentials and signed headers never are: they are not part of the facts.

use std::error::Error as StdError;
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::http::Response;

use crate::error::{Error, Result};
use crate::report::duration;

/// What was asked, for the message.
#[derive(Debug, Clone)]
pub struct Call {
    /// What was tried, as it follows "Failed to": ``look at the bucket `b` ``.
    pub doing: String,
    /// The permissions that it takes, such as `s3:PutObject`.
    pub actions: Vec<&'static str>,
    /// What they are needed on.
    pub arn: String,
    /// The bucket.
    pub bucket: String,
    /// The region that was asked.
    pub region: String,
    /// The customer's key for encryption, when one is named.
    pub kms_key: Option<String>,
    /// The account that the bucket was said to belong to.
    pub expected_owner: Option<String>,
    /// How often a call is tried.
    pub attempts: u32,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problem {
    /// HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// The service's code, such as `NoSuchBucket`.
    pub code: Option<String>,
    /// The service's message, or the cause when nothing was answered.
    pub message: String,
    /// What support asks for.
    pub request_id: Option<String>,
    /// The region that the answer says the bucket is in.
    pub region: Option<String>,
    /// How far this machine's clock is from the service's.
    pub skew: Option<Duration>,
    /// No answer came: the network, or a host that is not there.
    pub unanswered: bool,
}

impl Problem {
    /// The facts of a failed call.
    pub fn of<E: ProvideErrorMetadata + StdError + 'static>(error: &SdkError<E, Response>) -> Self {
        let mut problem = Self::default();
        if let Some(response) = error.raw_response() {
            let header = |name: &str| response.headers().get(name).map(str::to_owned);
            problem.status = Some(response.status().as_u16());
            problem.request_id = header("x-amz-request-id");
            // Source: "Redirects" and HeadBucket in the Amazon S3 API reference.
            problem.region = header("x-amz-bucket-region").or_else(|| region_in(response.body().bytes()));
            problem.skew = header("date").as_deref().and_then(http_date).map(distance_to_now);
        }
        match error {
            SdkError::ServiceError(context) => {
                problem.code = context.err().code().map(str::to_owned);
                problem.message = match context.err().message() {
                    Some(message) => message.to_owned(),
                    // An answer without a body, as every answer to HEAD.
                    None => problem.status.map(|s| format!("the server answered {s}")).unwrap_or_default(),
                };
            }
            SdkError::ResponseError(context) => {
                let raw = context.raw();
                problem.status = Some(raw.status().as_u16());
                problem.message = format!("the answer could not be read ({})", chain(error));
            }
            SdkError::DispatchFailure(failure) => {
                problem.unanswered = true;
                problem.message = failure.as_connector_error().map_or_else(|| chain(error), |e| chain(e));
            }
            SdkError::TimeoutError(_) => {
                problem.unanswered = true;
                problem.message = "it took too long".to_owned();
            }
            other => problem.message = chain(other),
        }
        problem
    }

    /// Whether the service itself has this code.
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// Whether the credentials may not do it (and not that they are wrong).
    pub fn is_denied(&self) -> bool {
        let is_denial = self.status == Some(403) && self.code.as_deref().is_none_or(|c| DENIED.contains(&c));
        // Services that speak JSON say so with 400, too. Source: "Common errors" in the ECR API reference.
        is_denial || self.is("AccessDeniedException")
    }

    /// Whether the bucket is somewhere else.
    pub fn is_elsewhere(&self) -> bool {
        matches!(self.status, Some(301 | 307))
            || self.code.as_deref().is_some_and(|c| ELSEWHERE.contains(&c))
            || (self.status == Some(400) && self.region.is_some())
    }

    /// The error to show.
    pub fn error(&self, call: &Call) -> Error {
        let mut cause = match &self.code {
            Some(code) if !self.message.is_empty() => format!("{code}: {}", self.message),
            Some(code) => code.clone(),
            None => self.message.clone(),
        };
        if let Some(id) = &self.request_id {
            cause.push_str(&format!(" (request {id})"));
        }
        let mut error = Error::failed(format!("Failed to {}", call.doing)).because(cause);
        for hint in self.hints(call) {
            error = error.hint(hint);
        }
        error
    }

    fn hints(&self, call: &Call) -> Vec<String> {
        if self.unanswered {
            return vec![self.network_hint(call)];
        }
        if self.is_elsewhere() {
            return vec![self.region_hint(call)];
        }
        let code = self.code.as_deref().unwrap_or_default();
        let about_kms = code.starts_with("KMS.") || self.message.to_lowercase().contains("kms");
        if about_kms {
            let key = call.kms_key.as_deref().unwrap_or("the bucket's key");
            return vec![format!(
                "`{key}` has to be enabled, in {}, and both its policy and the credentials' have to allow `kms:GenerateDataKey` and `kms:Decrypt`",
                call.region
            )];
        }
        if self.is_denied() {
            return self.denied_hints(call);
        }
        HINTS.iter().find(|(codes, _)| codes.contains(&code)).map_or_else(
            || match self.status {
                Some(429 | 500..=599) => vec![format!(
                    "it was tried {} times; run the same command again later: what was uploaded is not sent again",
                    call.attempts
                )],
                _ => Vec::new(),
            },
            |(_, hint)| vec![self.filled(hint, call)],
        )
    }

    fn filled(&self, hint: &str, call: &Call) -> String {
        let skew = self.skew.map_or_else(|| "some minutes".to_owned(), duration);
        hint.replace("{bucket}", &call.bucket)
            .replace("{region}", &call.region)
            .replace("{skew}", &skew)
            .replace("{attempts}", &call.attempts.to_string())
    }

    fn denied_hints(&self, call: &Call) -> Vec<String> {
        let actions: Vec<String> = call.actions.iter().map(|a| format!("`{a}`")).collect();
        let needed = format!("the credentials need {} on `{}`", actions.join(" and "), call.arn);
        if call.bucket.is_empty() {
            return vec![needed];
        }
        let mut hints = vec![format!("{needed}: in their own policy, and not refused by the bucket's")];
        if let Some(owner) = &call.expected_owner {
            hints.push(format!(
                "S3 says the same when the bucket belongs to another account than `--expected-bucket-owner {owner}`"
            ));
        }
        if call.kms_key.is_some() {
            hints.push("it says the same when `kms:GenerateDataKey` on the key is missing".to_owned());
        }
        hints
    }

    fn region_hint(&self, call: &Call) -> String {
        match self.region.as_deref().filter(|region| *region != call.region) {
            Some(region) => format!(
                "`{}` is in {region}, and {} was asked: run it with `--region {region}`",
                call.bucket, call.region
            ),
            None => format!(
                "`{}` is in another region than {}: `aws s3api get-bucket-location --bucket {}` says which; name it with `--region`",
                call.bucket, call.region, call.bucket
            ),
        }
    }

    fn network_hint(&self, call: &Call) -> String {
        let text = self.message.to_lowercase();
        let tried = format!("it was tried {} times", call.attempts);
        if text.contains("dns") || text.contains("lookup address") {
            format!("there is no such host: check the region ({}), AWS_ENDPOINT_URL_S3, and the network", call.region)
        } else if text.contains("certificate") || text.contains("tls") {
            "name the certificates to trust, such as your proxy's, with AWS_CA_BUNDLE or SSL_CERT_FILE".to_owned()
        } else if text.contains("refused") {
            format!("nothing listens there; {tried}: check AWS_ENDPOINT_URL_S3, HTTPS_PROXY and NO_PROXY")
        } else {
            format!(
                "{tried}; check the network, HTTPS_PROXY and NO_PROXY, then run the same command again: what was uploaded is not sent again"
            )
        }
    }
}

/// Codes of "may not". Source: "Error responses" in the Amazon S3 API reference. A `HEAD` has no code; the SDK then
/// says `Forbidden`, or nothing.
const DENIED: &[&str] = &["AccessDenied", "AllAccessDisabled", "AccountProblem", "Forbidden", "403"];
/// Codes of "not here". Source: the same; `IllegalLocationConstraintException` is what opt-in regions say.
const ELSEWHERE: &[&str] = &[
    "PermanentRedirect",
    "TemporaryRedirect",
    "Redirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
];

/// What to do about a code. Source of the codes: "Error responses" in the Amazon S3 API reference; those of STS in
/// "Common errors" of its own.
const HINTS: &[(&[&str], &str)] = &[
    (
        &["NoSuchBucket"],
        "check `--bucket`; `aws s3 mb s3://{bucket} --region {region}` makes it, and `aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled` lets it keep versions",
    ),
    (
        &["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"],
        "the session has expired: sign in again (`aws sso login`, or new values of AWS_SESSION_TOKEN and its keys), then run the same command: what was uploaded is not sent again",
    ),
    (
        &["InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException"],
        "the access key is not known there: check AWS_ACCESS_KEY_ID, AWS_PROFILE, and that the endpoint is the one that the key is for",
    ),
    (
        &["SignatureDoesNotMatch"],
        "the secret is not that of the access key, or a proxy changes requests: check AWS_SECRET_ACCESS_KEY, or sign in again",
    ),
    (&["InvalidToken"], "the session token is not one of these keys: check AWS_SESSION_TOKEN, or sign in again"),
    (
        &["RequestTimeTooSkewed"],
        "this machine's clock is {skew} off: set it (`timedatectl set-ntp true`), then run the same command again",
    ),
    (
        &["SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"],
        "the service was asked too much, {attempts} times in a row: run the same command again later: what was uploaded is not sent again",
    ),
    (
        &["BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"],
        "the bytes that arrived are not those that were sent: something on the way (a proxy, a failing network card) changes them; run the same command again",
    ),
    (&["InvalidBucketName"], "a bucket's name has 3 to 63 lower-case letters, digits, `.` and `-`"),
    (&["InvalidTag"], "check `--object-tag`: at most 10, with keys of 128 and values of 256 characters"),
    (&["QuotaExceeded", "InsufficientStorage"], "the bucket is full"),
];

/// No credentials at all.
pub(super) fn no_credentials() -> Error {
    Error::failed("no AWS credentials were found").hint(
        "sign in (`aws sso login`), name a profile with `--profile` or AWS_PROFILE, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    )
}

/// Why the chain gave no credentials.
pub(super) fn credentials(error: &CredentialsError) -> Error {
    match error {
        CredentialsError::CredentialsNotLoaded(_) => match error.source() {
            // Each provider's reason, of which most only say that it was not asked.
            Some(source) if !chain(source).contains("Attempted:") => no_credentials().because(chain(source)),
            _ => no_credentials(),
        },
        other => {
            let why = chain(other);
            let sign_in = why.to_lowercase();
            let error = Error::failed("Failed to get AWS credentials").because(why);
            if sign_in.contains("expired") || sign_in.contains("sso") || sign_in.contains("token") {
                error.hint("sign in again: `aws sso login`, with `--profile` if you name one here")
            } else {
                error.hint("check the profile in ~/.aws/config, and AWS_PROFILE or `--profile`")
            }
        }
    }
}

/// An error and all its causes in one line, without those that only repeat what stands before them.
pub fn chain(error: &dyn StdError) -> String {
    let mut out = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !out.contains(&text) {
            out = format!("{out}: {text}");
        }
        next = cause.source();
    }
    out
}

/// The `<Region>` of an answer such as `AuthorizationHeaderMalformed`.
fn region_in(body: Option<&[u8]>) -> Option<String> {
    let text = std::str::from_utf8(body?).ok()?;
    let (_, rest) = text.split_once("<Region>")?;
    let (region, _) = rest.split_once("</Region>")?;
    let plain = region.len() <= 32 && region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    plain.then(|| region.to_owned())
}

/// The time of an HTTP `Date` header.
pub(crate) fn http_date(text: &str) -> Option<SystemTime> {
    use aws_smithy_types::date_time::Format;
    aws_smithy_types::DateTime::from_str(text, Format::HttpDate).ok()?.try_into().ok()
}

fn distance_to_now(time: SystemTime) -> Duration {
    let now = SystemTime::now();
    now.duration_since(time).or_else(|_| time.duration_since(now)).unwrap_or_default()
}

/// The value of a call, or its error as `call` tells it.
pub fn told<T, E: ProvideErrorMetadata + StdError + 'static>(
    result: Result<T, SdkError<E, Response>>,
    call: &Call,
) -> Result<T> {
    result.map_err(|error| Problem::of(&error).error(call))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call {
        Call {
            doing: "upload `a.zip`".into(),
            actions: vec!["s3:PutObject", "s3:PutObjectTagging"],
            arn: "arn:aws:s3:::b/a.zip".into(),
            bucket: "b".into(),
            region: "eu-west-1".into(),
            kms_key: None,
            expected_owner: None,
            attempts: 5,
        }
    }

    fn answered(status: u16, code: &str, message: &str) -> Problem {
        let code = (!code.is_empty()).then(|| code.to_owned());
        Problem { status: Some(status), code, message: message.to_owned(), ..Problem::default() }
    }

    fn shown(problem: &Problem, call: &Call) -> String {
        let error = problem.error(call);
        format!("{error} | {}", error.hints().join(" | "))
    }

    #[test]
    fn each_refusal_has_its_next_step() {
        for (status, code, message, step) in [
            (404, "NoSuchBucket", "The specified bucket does not exist", "aws s3 mb s3://b --region eu-west-1"),
            (
                403,
                "AccessDenied",
                "Access Denied",
                "`s3:PutObject` and `s3:PutObjectTagging` on `arn:aws:s3:::b/a.zip`",
            ),
            (403, "", "the server answered 403", "`s3:PutObject`"),
            (400, "ExpiredToken", "The provided token has expired.", "sign in again"),
            (403, "InvalidAccessKeyId", "x", "AWS_ACCESS_KEY_ID"),
            (403, "SignatureDoesNotMatch", "x", "AWS_SECRET_ACCESS_KEY"),
            (503, "SlowDown", "Please reduce your request rate.", "5 times"),
            (500, "InternalError", "We encountered an internal error.", "tried 5 times"),
            (400, "KMS.DisabledException", "arn:aws:kms:x is disabled.", "kms:GenerateDataKey"),
            (403, "AccessDenied", "User: x is not authorized to perform: kms:GenerateDataKey on it", "kms:Decrypt"),
        ] {
            let text = shown(&answered(status, code, message), &call());
            assert!(text.starts_with("Failed to upload `a.zip`: ") && text.contains(message), "{text}");
            assert!(text.contains(step), "{text}");
        }
    }

    #[test]
    fn another_region_is_named() {
        let mut moved = answered(301, "PermanentRedirect", "x");
        assert!(shown(&moved, &call()).contains("get-bucket-location --bucket b"));
        moved.region = Some("us-west-2".into());
        assert!(
            shown(&moved, &call())
                .contains("`b` is in us-west-2, and eu-west-1 was asked: run it with `--region us-west-2`")
        );
        let body = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-north-1</Region></Error>";
        assert_eq!(region_in(Some(body.as_bytes())).as_deref(), Some("eu-north-1"));
        assert_eq!(region_in(Some(b"<Region>a\nb</Region>")), None);
    }

    #[test]
    fn a_wrong_clock_is_told_by_how_much() {
        let mut late = answered(403, "RequestTimeTooSkewed", "The difference … is too large.");
        late.skew = Some(Duration::from_secs(3_720));
        assert!(shown(&late, &call()).contains("clock is 62 min 0 s off"), "{}", shown(&late, &call()));
        let when = http_date("Tue, 24 Nov 2026 06:00:00 GMT").unwrap();
        assert_eq!(when.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs(), 1_795_500_000);
    }

    #[test]
    fn the_network_has_its_own_words() {
        for (message, step) in [
            ("dispatch failure: dns error: failed to lookup address information", "no such host"),
            ("tcp connect error: Connection refused (os error 111)", "nothing listens there"),
            ("invalid peer certificate: UnknownIssuer", "AWS_CA_BUNDLE"),
            ("connection reset by peer", "check the network"),
        ] {
            let problem = Problem { unanswered: true, message: message.into(), ..Problem::default() };
            assert!(shown(&problem, &call()).contains(step), "{}", shown(&problem, &call()));
        }
    }

    #[test]
    fn an_owner_that_was_expected_is_named_when_access_is_denied() {
        let call = Call { expected_owner: Some("111122223333".into()), ..call() };
        assert!(
            shown(&answered(403, "AccessDenied", "Access Denied"), &call)
                .contains("--expected-bucket-owner 111122223333")
        );
    }
}
