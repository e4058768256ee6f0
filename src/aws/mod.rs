//! The way to AWS: one runtime, one HTTP client, the region and the credentials of the standard chain.
//!
//! Settings flow in, [`Aws`] comes out, and a service's client is made of it ([`Aws::s3`]). What a call says when it fails
//! becomes an [`Error`](crate::error::Error) in [`problem`]; attempts and progress are told as they happen ([`watch`],
//! [`body`]). Nothing here decides what is uploaded, and nothing is started before something needs AWS.

pub mod body;
pub(crate) mod http;
pub mod problem;
pub mod watch;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::service_config::ServiceConfigKey;

use crate::error::{Error, Result};
use crate::report::{Event, EventSender};

/// How often a call is tried, the first time included, unless `AWS_MAX_ATTEMPTS` or the profile says otherwise.
const ATTEMPTS: u32 = 5;
/// Attempts that the SDK makes when nobody says anything: taken as "not said".
const SDK_ATTEMPTS: u32 = 3;
/// To a host that does not answer. The SDK's 3.1 s are short for a laptop on a train.
const CONNECT: Duration = Duration::from_secs(10);
/// A store that is not AWS has no regions, but a signature names one.
const REGION_OF_OTHERS: &str = "us-east-1";

/// What the command line says beside the standard chain.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Region instead of the chain's.
    pub region: Option<String>,
    /// Profile instead of `AWS_PROFILE`.
    pub profile: Option<String>,
    /// How long an answer to one attempt may take; an upload has a clock of its own.
    pub patience: Duration,
}

/// A way to AWS whose credentials have been found.
pub struct Aws {
    runtime: Arc<tokio::runtime::Runtime>,
    config: SdkConfig,
    region: String,
    endpoint: Option<String>,
    events: EventSender,
}

impl Aws {
    /// Finds region and credentials: `AWS_*` variables, profiles, SSO, web identity, containers, instances.
    ///
    /// # Errors
    /// When there are no credentials or no region, each with what to set.
    pub fn connect(settings: &Settings, events: EventSender) -> Result<Self> {
        Self::connect_on(runtime()?, settings, events)
    }

    /// The same on a runtime that others use, too: what is kept open by one of them only moves while that one runs.
    ///
    /// # Errors
    /// As [`Aws::connect`].
    pub fn connect_on(runtime: Arc<tokio::runtime::Runtime>, settings: &Settings, events: EventSender) -> Result<Self> {
        let client = http::client()?;
        let timeouts =
            TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(settings.patience).build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(client.clone())
            .timeout_config(timeouts)
            // It ends uploads over a slow line; who waits for what is watched where it is known (`publish::upload`).
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Some(region) = &settings.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &settings.profile {
            loader = loader.profile_name(profile);
        }
        let config = runtime.block_on(loader.load());
        let endpoint = s3_endpoint(&config);
        let region = match (config.region(), &endpoint) {
            (Some(region), _) => region.to_string(),
            (None, Some(_)) => REGION_OF_OTHERS.to_owned(),
            (None, None) => {
                return Err(Error::failed("no AWS region is set").hint(
                    "name it with `--region`, AWS_REGION, or `region` in the profile (`aws configure set region …`)",
                ));
            }
        };
        let retries = match config.retry_config() {
            Some(said) if said.max_attempts() != SDK_ATTEMPTS => said.clone(),
            _ => RetryConfig::standard().with_max_attempts(ATTEMPTS),
        };
        let mut builder = config.into_builder().retry_config(retries);
        if let Some(profile) = &settings.profile {
            builder = builder.credentials_provider(of_profile(profile, client, &region));
        }
        let config = builder.build();
        let aws = Self { runtime, config, region, endpoint, events };
        aws.find_credentials()?;
        Ok(aws)
    }

    /// Asks for credentials before anything else does, so that their absence is told as such.
    fn find_credentials(&self) -> Result<()> {
        let Some(provider) = self.config.credentials_provider() else { return Err(problem::no_credentials()) };
        match self.block_on(provider.provide_credentials()) {
            Ok(_) => Ok(()),
            Err(error) => {
                self.events.send(Event::Debug(problem::chain(&error)));
                Err(problem::credentials(&error))
            }
        }
    }

    /// Runs a future to its end on this thread.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// The region that functions are deployed to.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Whether requests go to another address than AWS's own, such as a store in the same house.
    pub fn has_own_endpoint(&self) -> bool {
        self.endpoint.is_some()
    }

    /// That address.
    pub fn own_endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// Hears what happens.
    pub fn events(&self) -> &EventSender {
        &self.events
    }

    /// How often a call is tried.
    pub fn attempts(&self) -> u32 {
        self.config.retry_config().map_or(ATTEMPTS, RetryConfig::max_attempts)
    }

    /// A client of Lambda in the functions' region.
    pub fn lambda(&self) -> aws_sdk_lambda::Client {
        let config = aws_sdk_lambda::config::Builder::from(&self.config)
            .region(Region::new(self.region.clone()))
            .interceptor(watch::Attempts::new(self.events.clone(), self.attempts()))
            .build();
        aws_sdk_lambda::Client::from_conf(config)
    }

    /// A client of ECR in the region.
    pub fn ecr(&self) -> aws_sdk_ecr::Client {
        let config = aws_sdk_ecr::config::Builder::from(&self.config)
            .region(Region::new(self.region.clone()))
            .interceptor(watch::Attempts::new(self.events.clone(), self.attempts()))
            .build();
        aws_sdk_ecr::Client::from_conf(config)
    }

    /// A client of S3 in `region`.
    pub fn s3(&self, region: &str) -> aws_sdk_s3::Client {
        use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
        let config = aws_sdk_s3::config::Builder::from(&self.config)
            .region(Region::new(region.to_owned()))
            // The one checksum that matters is SHA-256, which is sent as a header; others confuse stores that are not AWS.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .force_path_style(self.endpoint.as_deref().is_some_and(wants_path_style))
            .interceptor(watch::Attempts::new(self.events.clone(), self.attempts()))
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }
}

/// What runs requests: one thread, the one that waits for them.
///
/// # Errors
/// When the system gives none.
pub(crate) fn runtime() -> Result<Arc<tokio::runtime::Runtime>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map(Arc::new).map_err(|e| Error::failed("Failed to start the network runtime").because(e))
}

/// The credentials of a profile that the command line names: they count more than `AWS_ACCESS_KEY_ID`, which the chain
/// would take first.
fn of_profile(profile: &str, client: SharedHttpClient, region: &str) -> SharedCredentialsProvider {
    let config = ProviderConfig::without_region()
        .with_behavior_version(Some(BehaviorVersion::latest()))
        .with_http_client(client)
        .with_region(Some(Region::new(region.to_owned())));
    let provider = ProfileFileCredentialsProvider::builder().configure(&config).profile_name(profile).build();
    SharedCredentialsProvider::new(provider)
}

/// `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, or what the profile says, as the SDK itself looks it up.
fn s3_endpoint(config: &SdkConfig) -> Option<String> {
    let key = ServiceConfigKey::builder().service_id("S3").env("AWS_ENDPOINT_URL").profile("endpoint_url").build().ok();
    let of_service = key.and_then(|key| config.service_config()?.load_config(key));
    of_service.or_else(|| config.endpoint_url().map(str::to_owned))
}

/// Whether the bucket belongs into the path: stores that are not AWS seldom have a name in DNS for each bucket.
fn wants_path_style(endpoint: &str) -> bool {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    !(host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"))
}

/// The part of ARNs that names the group of regions: `aws`, `aws-cn`, `aws-us-gov`, …
/// Source: "partitions" in the AWS SDKs' endpoint data (`partitions.json`).
pub fn partition(region: &str) -> &'static str {
    const PREFIXES: &[(&str, &str)] = &[
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eu-isoe-", "aws-iso-e"),
        ("us-isof-", "aws-iso-f"),
        ("eusc-", "aws-eusc"),
    ];
    PREFIXES.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("aws", |(_, partition)| partition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_stand_in_the_path_unless_it_is_aws() {
        for (endpoint, path) in [
            ("http://127.0.0.1:9000", true),
            ("https://minio.example/base", true),
            ("https://u:p@minio:9000", true),
            ("https://bucket.vpce-1a-x.s3.eu-west-1.vpce.amazonaws.com", false),
            ("https://s3.cn-north-1.amazonaws.com.cn", false),
        ] {
            assert_eq!(wants_path_style(endpoint), path, "{endpoint}");
        }
    }

    #[test]
    fn regions_know_their_partition() {
        assert_eq!(
            ["eu-west-1", "cn-north-1", "us-gov-west-1", "us-east-1"].map(partition),
            ["aws", "aws-cn", "aws-us-gov", "aws"]
        );
    }
}
