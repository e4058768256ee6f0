//! What Amazon ECR is asked beside its registry: a token, which layers are there, and the repository with its policy.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use aws_sdk_ecr::types::LayerAvailability;
use futures_util::lock::Mutex;

use super::host::Host;
use super::policy::{self, Users};
use crate::aws::problem::{Call, Problem};
use crate::aws::{Aws, Settings};
use crate::error::{Error, Result};
use crate::report::{Event, EventSender};
use crate::store::Digest;

/// Most digests of one `BatchCheckLayerAvailability`. Source: the ECR API model.
const BATCH: usize = 100;
/// A token is not used so shortly before its end.
const MARGIN: Duration = Duration::from_secs(60);
/// How long a token is good when nothing is said. Source: `GetAuthorizationToken` in the ECR API reference.
const TOKEN_AGE: Duration = Duration::from_secs(12 * 60 * 60);

/// ECR in one region.
pub(super) struct Ecr {
    aws: Aws,
    client: aws_sdk_ecr::Client,
    events: EventSender,
    token: Mutex<Option<Token>>,
}

/// What the registry takes as `Authorization`.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) header: String,
    until: Instant,
    /// The account that asks, as the address of its registry tells it.
    pub(super) account: Option<String>,
    /// The registry of that account.
    pub(super) endpoint: Option<Host>,
}

/// A repository as ECR describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    /// Host and name.
    pub(super) uri: String,
    /// The account that it belongs to.
    pub(super) owner: String,
}

/// What ECR says of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    There(Described),
    Missing,
    /// It may not be asked.
    Hidden,
}

/// A name of a repository in the registry of an account; in that of the caller when none is named.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) account: Option<&'a str>,
    pub(super) name: &'a str,
}

impl Ecr {
    /// Signs in. `settings` name the region of the registry.
    pub(super) fn connect(
        runtime: Arc<tokio::runtime::Runtime>,
        settings: &Settings,
        events: EventSender,
    ) -> Result<Self> {
        let aws = Aws::connect_on(runtime, settings, events.clone())?;
        Ok(Self { client: aws.ecr(), aws, events, token: Mutex::default() })
    }

    /// The region that is asked.
    pub(super) fn region(&self) -> &str {
        self.aws.region()
    }

    fn call(&self, doing: impl Into<String>, action: &'static str, named: Option<Named<'_>>) -> Call {
        let region = self.region();
        let resource = named.map_or_else(
            || "*".to_owned(),
            |Named { account, name }| {
                let account = account.unwrap_or("*");
                format!("arn:{}:ecr:{region}:{account}:repository/{name}", crate::aws::partition(region))
            },
        );
        Call {
            doing: doing.into(),
            actions: vec![action],
            arn: resource,
            bucket: String::new(),
            region: region.to_owned(),
            kms_key: None,
            expected_owner: None,
            attempts: self.aws.attempts(),
        }
    }

    /// A token for every registry that the credentials reach, asked for once. It is held in memory alone.
    pub(super) async fn token(&self) -> Result<Token> {
        let mut kept = self.token.lock().await;
        if let Some(token) = kept.as_ref().filter(|token| token.until > Instant::now()) {
            return Ok(token.clone());
        }
        let token = self.new_token().await?;
        *kept = Some(token.clone());
        Ok(token)
    }

    /// A registry did not take the token of this header.
    pub(super) async fn forget_token(&self, header: &str) {
        let mut kept = self.token.lock().await;
        if kept.as_ref().is_some_and(|token| token.header == header) {
            *kept = None;
        }
    }

    async fn new_token(&self) -> Result<Token> {
        let call = self.call("get a token of ECR", "ecr:GetAuthorizationToken", None);
        let answer = self.client.get_authorization_token().send().await;
        let answer = answer.map_err(|error| Problem::of(&error).error(&call))?;
        let data = answer.authorization_data().first();
        let is_plain = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        let token = data
            .and_then(|data| data.authorization_token())
            .filter(is_plain)
            .ok_or_else(|| Error::failed("Failed to get a token of ECR").because("the answer has none"))?;
        let good = data.and_then(|data| data.expires_at()).and_then(|at| SystemTime::try_from(*at).ok());
        let good = good.and_then(|at| at.duration_since(SystemTime::now()).ok()).unwrap_or(TOKEN_AGE).min(TOKEN_AGE);
        let endpoint = data.and_then(|data| data.proxy_endpoint()).unwrap_or_default();
        let host = endpoint.split_once("://").map_or(endpoint, |(_, host)| host).trim_end_matches('/');
        let host = Host::parse(host).ok();
        Ok(Token {
            header: format!("Basic {token}"),
            until: Instant::now() + good.saturating_sub(MARGIN),
            account: host.as_ref().and_then(Host::ecr).map(|ecr| ecr.account),
            endpoint: host,
        })
    }

    /// Which of these layers the repository has; nothing when it cannot be asked.
    pub(super) async fn available(&self, named: Named<'_>, digests: &[Digest]) -> Option<HashSet<Digest>> {
        let mut there = HashSet::new();
        for batch in digests.chunks(BATCH) {
            let request = self
                .client
                .batch_check_layer_availability()
                .set_registry_id(named.account.map(str::to_owned))
                .repository_name(named.name)
                .set_layer_digests(Some(batch.iter().map(ToString::to_string).collect()));
            match request.send().await {
                Ok(answer) => {
                    let available = answer
                        .layers()
                        .iter()
                        .filter(|layer| layer.layer_availability() == Some(&LayerAvailability::Available));
                    there.extend(available.filter_map(|layer| Digest::parse(layer.layer_digest()?)));
                }
                Err(error) => {
                    let problem = Problem::of(&error);
                    let why = problem.code.unwrap_or(problem.message);
                    self.events.send(Event::Debug(format!("BatchCheckLayerAvailability: {why}; asking one by one")));
                    return None;
                }
            }
        }
        Some(there)
    }

    /// What there is of a repository.
    pub(super) async fn describe(&self, named: Named<'_>) -> Result<Found> {
        let request = self
            .client
            .describe_repositories()
            .set_registry_id(named.account.map(str::to_owned))
            .repository_names(named.name);
        match request.send().await {
            Ok(answer) => {
                let first = answer.repositories().first();
                let described = first.and_then(|r| described(r.repository_uri(), r.registry_id()));
                Ok(described.map_or(Found::Missing, Found::There))
            }
            Err(error) => {
                let problem = Problem::of(&error);
                if problem.is("RepositoryNotFoundException") {
                    return Ok(Found::Missing);
                }
                if problem.is_denied() {
                    return Ok(Found::Hidden);
                }
                let doing = format!("look up the repository `{}`", named.name);
                Err(problem.error(&self.call(doing, "ecr:DescribeRepositories", Some(named))))
            }
        }
    }

    /// Creates a repository; somebody may be faster.
    pub(super) async fn create(&self, named: Named<'_>) -> Result<Found> {
        let request = self
            .client
            .create_repository()
            .set_registry_id(named.account.map(str::to_owned))
            .repository_name(named.name);
        match request.send().await {
            Ok(answer) => {
                let made = answer.repository().and_then(|r| described(r.repository_uri(), r.registry_id()));
                Ok(made.map_or(Found::Missing, Found::There))
            }
            Err(error) => {
                let problem = Problem::of(&error);
                if problem.is("RepositoryAlreadyExistsException") {
                    return self.describe(named).await;
                }
                let doing = format!("create the repository `{}`", named.name);
                Err(problem.error(&self.call(doing, "ecr:CreateRepository", Some(named))))
            }
        }
    }

    /// Lets Lambda take images from a repository; says whether its policy was changed.
    pub(super) async fn allow_lambda(&self, named: Named<'_>, owner: &str, functions: &str) -> Result<bool> {
        let account = named.account.map(str::to_owned);
        let call = |action| self.call(format!("let Lambda read the repository `{}`", named.name), action, Some(named));
        let request = self.client.get_repository_policy().set_registry_id(account.clone()).repository_name(named.name);
        let policy = match request.send().await {
            Ok(answer) => answer.policy_text().map(str::to_owned),
            Err(error) => {
                let problem = Problem::of(&error);
                if !problem.is("RepositoryPolicyNotFoundException") {
                    return Err(problem.error(&call("ecr:GetRepositoryPolicy")));
                }
                None
            }
        };
        let users = Users { region: self.region(), owner, functions };
        let text = policy::completed(policy.as_deref(), &users)
            .map_err(|why| Error::failed(format!("Failed to {}", call("").doing)).because(why))?;
        let Some(text) = text else { return Ok(false) };
        let request =
            self.client.set_repository_policy().set_registry_id(account).repository_name(named.name).policy_text(text);
        request.send().await.map_err(|error| Problem::of(&error).error(&call("ecr:SetRepositoryPolicy")))?;
        Ok(true)
    }
}

fn described(uri: Option<&str>, owner: Option<&str>) -> Option<Described> {
    Some(Described { uri: uri?.to_owned(), owner: owner.unwrap_or_default().to_owned() })
}
