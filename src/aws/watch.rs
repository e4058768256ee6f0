//! What is looked at on the way of every call: attempts that failed are told, and answers are bounded.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextMut, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::retries::RequestAttempts;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;

use super::problem;
use crate::report::{Event, EventSender};

/// No answer that is read as a document is longer; errors of S3 have about 1 kB. What is read from a bucket has its own
/// bound.
const MAX_ANSWER: usize = 1 << 20;

/// Tells of attempts that failed, and bounds what is read of an answer.
#[derive(Debug)]
pub(super) struct Attempts {
    events: EventSender,
    most: u32,
}

impl Attempts {
    pub(super) fn new(events: EventSender, most: u32) -> Self {
        Self { events, most }
    }
}

#[dyn_dispatch_hint]
impl Intercept for Attempts {
    fn name(&self) -> &'static str {
        "Attempts"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let is_object = config.load::<Metadata>().is_some_and(|metadata| metadata.name() == "GetObject");
        if is_object && context.response().status().is_success() {
            return Ok(());
        }
        let body = std::mem::replace(context.response_mut().body_mut(), SdkBody::taken());
        *context.response_mut().body_mut() = SdkBody::from_body_1_x(http_body_util::Limited::new(body, MAX_ANSWER));
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(Err(error)) = context.output_or_error() else { return Ok(()) };
        let attempt = config.load::<RequestAttempts>().map_or(1, RequestAttempts::attempts);
        let call = config.load::<Metadata>().map_or("a call", Metadata::name);
        let why = match (context.response(), error.as_connector_error()) {
            (Some(response), _) => match response.status().as_u16() {
                // Others are answers, which whoever asked takes or tells.
                status @ (408 | 429 | 500..) => format!("the server answered {status}"),
                _ => return Ok(()),
            },
            (None, Some(error)) => problem::chain(error),
            (None, None) if error.is_timeout_error() => "it took too long".to_owned(),
            (None, None) => return Ok(()),
        };
        self.events.send(Event::Debug(format!("{call}, attempt {attempt} of at most {}: {why}", self.most)));
        Ok(())
    }
}

/// Signs the digest of a body that is known before it is sent, so that the signature covers the bytes.
#[derive(Debug)]
pub(crate) struct SignedBody {
    sha256: String,
}

impl SignedBody {
    /// `sha256` is the body's digest in lower-case hexadecimal.
    pub(crate) fn new(sha256: impl Into<String>) -> Self {
        Self { sha256: sha256.into() }
    }
}

#[dyn_dispatch_hint]
impl Intercept for SignedBody {
    fn name(&self) -> &'static str {
        "SignedBody"
    }

    fn modify_before_signing(
        &self,
        _context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config
            .interceptor_state()
            .store_put(aws_runtime::auth::PayloadSigningOverride::Precomputed(self.sha256.clone()));
        Ok(())
    }
}
