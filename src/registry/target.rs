//! Where images are pushed to: looked at before anything is sent, created on request, and refused where Lambda could not
//! take an image from.
//!
//! Source of what Lambda takes: "Create a Lambda function using a container image" in the AWS Lambda Developer Guide: the
//! image has to be in a private repository of ECR in the function's region; the account may be another one.

use std::sync::Arc;

use super::auth::{Auth, Who};
use super::client::Client;
use super::ecr::{Ecr, Found, Named};
use super::reference::{Repository, check_name, names_host};
use super::{Registries, lock};
use crate::error::{Error, Result};
use crate::report::Event;

/// The repository that is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// A name in the account's ECR, or host and name.
    pub repository: &'a str,
    /// Whether to create it when it is missing, and to let Lambda take images from it.
    pub create: bool,
}

/// A repository that has been looked at.
pub struct Target {
    pub(super) client: Arc<Client>,
    /// The account of ECR that it belongs to, when that is not the caller's.
    pub(super) account: Option<String>,
    /// ECR says that it is not there; a push may still create it.
    pub(super) is_missing: bool,
}

impl Target {
    /// Where it is.
    pub fn repository(&self) -> &Repository {
        &self.client.repository
    }

    pub(super) fn named(&self) -> Named<'_> {
        Named { account: self.account.as_deref(), name: &self.repository().name }
    }
}

/// Refuses what cannot be meant, before anything is built. `region` is that of the functions, when it is said.
///
/// # Errors
/// When Lambda could not take an image from there.
pub fn check(wanted: &Wanted<'_>, region: Option<&str>) -> Result<()> {
    let text = wanted.repository;
    if !names_host(text) {
        return check_name(text).map_err(|error| {
            if text.contains([':', '@']) { error.hint("leave out the tag: `--tag` names it") } else { error }
        });
    }
    let repository = Repository::parse(text)?;
    let host = &repository.host;
    if host.is_ecr_public() {
        return Err(Error::config(format!("Lambda takes no image from {host}"))
            .because(format!("Source image {repository} is not valid. Provide a valid source image."))
            .hint("push to a private repository: `--repository NAME` is one of the account's own"));
    }
    match (host.ecr(), region) {
        (Some(ecr), Some(region)) => in_region(&repository, &ecr.region, region),
        (None, _) if wanted.create && !host.is_loopback() => {
            Err(Error::config(format!("`--create-repository` makes repositories of ECR, and {host} is none"))
                .hint("leave it out, or name a repository of ECR"))
        }
        _ => Ok(()),
    }
}

/// Lambda takes an image only from its own region.
fn in_region(repository: &Repository, of_repository: &str, of_functions: &str) -> Result<()> {
    if of_repository == of_functions {
        return Ok(());
    }
    Err(Error::config(format!("`{repository}` is in {of_repository}, and the functions are in {of_functions}"))
        .because(format!("Source image {repository} is not valid. Provide a valid source image."))
        .hint(format!("push to a repository in {of_functions}, or deploy with `--region {of_repository}`")))
}

impl Registries {
    /// Looks at a repository; creates it when that is wanted.
    ///
    /// # Errors
    /// When Lambda could not take an image from there, nobody has signed in, or ECR refuses.
    pub fn target(&self, wanted: &Wanted<'_>) -> Result<Target> {
        check(wanted, self.0.settings.aws.region.as_deref())?;
        if !names_host(wanted.repository) {
            return self.of_account(wanted);
        }
        let repository = Repository::parse(wanted.repository)?;
        match repository.host.ecr() {
            Some(host) => self.of_ecr(wanted, &repository, &host.account, &host.region),
            None => self.of_others(&repository),
        }
    }

    /// A repository of the caller's own registry: ECR says where that is.
    fn of_account(&self, wanted: &Wanted<'_>) -> Result<Target> {
        let name = wanted.repository;
        let ecr = self.ecr(None)?;
        let named = Named { account: None, name };
        let runtime = Arc::clone(&self.network()?.runtime);
        let (found, token) = runtime.block_on(async {
            let token = ecr.token().await?;
            Ok::<_, crate::error::Error>((self.prepared(&ecr, named, wanted.create).await?, token))
        })?;
        let repository = match &found {
            Found::There(described) => Repository::parse(&described.uri)?,
            Found::Missing | Found::Hidden => {
                let host = token.endpoint.ok_or_else(|| {
                    Error::failed(format!("Failed to find the registry of `{name}`"))
                        .because("ECR does not say where it is")
                })?;
                Repository::new(host, name)?
            }
        };
        self.on_ecr(repository, ecr, None, &found)
    }

    fn of_ecr(&self, wanted: &Wanted<'_>, repository: &Repository, account: &str, region: &str) -> Result<Target> {
        // The region of the chain is that of the functions, if there is one.
        let ecr = match self.ecr(None) {
            Ok(ecr) if ecr.region() == region => ecr,
            Ok(ecr) => {
                return Err(in_region(repository, region, ecr.region()).err().unwrap_or_else(|| Error::failed("")));
            }
            Err(_) => match self.ecr(Some(region)) {
                Ok(ecr) => ecr,
                // Someone may have signed in for whoever runs this; then ECR itself cannot be asked.
                Err(error) => {
                    let auth = super::login(repository);
                    if auth.is_anonymous() || wanted.create {
                        return Err(error.context(repository));
                    }
                    let client = self.keep(repository, auth)?;
                    return Ok(Target { client, account: Some(account.to_owned()), is_missing: false });
                }
            },
        };
        let named = Named { account: Some(account), name: &repository.name };
        let runtime = Arc::clone(&self.network()?.runtime);
        let found = runtime.block_on(self.prepared(&ecr, named, wanted.create))?;
        self.on_ecr(repository.clone(), ecr, Some(account.to_owned()), &found)
    }

    fn on_ecr(&self, repository: Repository, ecr: Arc<Ecr>, account: Option<String>, found: &Found) -> Result<Target> {
        let client = self.keep(&repository, Auth::new(Who::Ecr(ecr), Vec::new()))?;
        Ok(Target { client, account, is_missing: *found == Found::Missing })
    }

    fn of_others(&self, repository: &Repository) -> Result<Target> {
        if !repository.host.is_loopback() && lock(&self.0.told).insert(repository.clone()) {
            self.0.events.send(Event::Warning(format!(
                "Lambda takes images only from a private repository of ECR in its region: `{repository}` has to be copied there before a function can have it"
            )));
        }
        Ok(Target { client: self.client(repository)?, account: None, is_missing: false })
    }

    /// Describes a repository; creates it and completes its policy when that is wanted.
    async fn prepared(&self, ecr: &Ecr, named: Named<'_>, create: bool) -> Result<Found> {
        let mut found = ecr.describe(named).await?;
        if !create {
            return Ok(found);
        }
        if found == Found::Missing {
            found = ecr.create(named).await?;
            self.0.events.send(Event::Debug(format!("created the repository `{}`", named.name)));
        }
        let token = ecr.token().await?;
        let owner = match &found {
            Found::There(described) if !described.owner.is_empty() => Some(described.owner.as_str()),
            _ => named.account,
        };
        let functions = token.account.as_deref();
        match (owner.or(functions), functions.or(owner)) {
            (Some(owner), Some(functions)) => {
                if ecr.allow_lambda(named, owner, functions).await? {
                    let text = format!("Lambda of account {functions} may take images from `{}` now", named.name);
                    self.0.events.send(Event::Debug(text));
                }
                Ok(found)
            }
            _ => Err(Error::failed(format!("Failed to let Lambda read the repository `{}`", named.name))
                .because("ECR says neither whose it is nor who asks")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(repository: &str, create: bool, region: Option<&str>) -> Option<String> {
        let error = check(&Wanted { repository, create }, region).err()?;
        assert_eq!(error.kind(), crate::error::Kind::Config);
        Some(format!("{error} | {}", error.hints().join(" | ")))
    }

    #[test]
    fn only_what_lambda_can_take_an_image_from_is_pushed_to() {
        let ecr = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/api";
        for (repository, create, region, why) in [
            ("team/api", true, Some("eu-west-1"), None),
            (ecr, true, Some("eu-west-1"), None),
            (ecr, true, None, None),
            (ecr, true, Some("us-east-1"), Some("--region eu-west-1")),
            ("127.0.0.1:5000/api", false, Some("us-east-1"), None),
            ("ghcr.io/team/api", false, None, None),
            ("ghcr.io/team/api", true, None, Some("ghcr.io is none")),
            ("public.ecr.aws/team/api", false, None, Some("Source image public.ecr.aws/team/api is not valid")),
            ("team/api:v1", false, None, Some("`--tag` names it")),
            ("Team", false, None, Some("lower-case")),
            ("ghcr.io/team/api:v1", false, None, Some("a repository is wanted")),
        ] {
            let said = refused(repository, create, region);
            match why {
                None => assert_eq!(said, None, "{repository}"),
                Some(why) => assert!(said.as_ref().is_some_and(|said| said.contains(why)), "{repository}: {said:?}"),
            }
        }
    }
}
