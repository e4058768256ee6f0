//! `secret-file`: files that usually hold secrets. Names first; contents only of small files whose name says `key` or `account`.

use super::Subject;
use crate::finding::{Finding, Rule};
use crate::tree::{Entry, Source};

const NAMES: &[&str] = &[
    ".netrc",
    "_netrc",
    ".pgpass",
    ".git-credentials",
    ".htpasswd",
    ".dockercfg",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "credentials.json",
    "service-account.json",
    "service_account.json",
    "terraform.tfstate",
];
const FOLDERS: &[&str] = &[".aws", ".ssh", ".gnupg", ".kube", ".docker", ".azure"];
const SUFFIXES: &[&str] = &[".pfx", ".p12", ".jks", ".keystore", ".kdbx", ".ppk"];
/// Samples that are meant to be shared.
const SAMPLE_SUFFIXES: &[&str] = &[".example", ".sample", ".template", ".dist", ".defaults"];
/// Larger files are not keys.
const MAX_KEY: u64 = 64 << 10;

pub(super) fn check_secrets(subject: &Subject<'_>) -> Vec<Finding> {
    subject
        .tree
        .iter()
        .filter_map(|(path, entry)| {
            let what = what_kind(path.as_str(), path.file_name(), entry)?;
            Some(
                Finding::new(
                    Rule::SecretFile,
                    format!("{what} would be packed; whoever may read the function's code can read it"),
                    "leave it out with a pattern in `.lambdaignore`, and read secrets from SSM Parameter Store or Secrets Manager",
                )
                .path(path.as_str()),
            )
        })
        .collect()
}

fn what_kind(path: &str, name: &str, entry: &Entry) -> Option<&'static str> {
    // Packages from a registry are public, and bring certificates and test keys of their own.
    let Entry::File { source, size, .. } = entry else { return None };
    if matches!(source, Source::Member(archive, _) if archive.is_public()) {
        return None;
    }
    let lower = name.to_lowercase();
    if SAMPLE_SUFFIXES.iter().any(|s| lower.ends_with(s)) {
        return None;
    }
    if lower == ".env" || lower.starts_with(".env.") {
        return Some("a file of environment variables");
    }
    if NAMES.contains(&lower.as_str()) || SUFFIXES.iter().any(|s| lower.ends_with(s)) {
        return Some("a file that usually holds secrets");
    }
    let folders = path.strip_suffix(name).unwrap_or_default();
    if folders.split('/').any(|part| FOLDERS.contains(&part)) {
        return Some("a file of a folder that usually holds credentials");
    }
    let suspicious = [".pem", ".key", ".json"].iter().any(|s| lower.ends_with(s));
    if !suspicious || *size > MAX_KEY {
        return None;
    }
    let text = String::from_utf8(entry.read().ok()?).ok()?;
    if text.contains("PRIVATE KEY-----") {
        // A service account's file holds its key as JSON.
        return Some(if text.contains("\"service_account\"") {
            "a service account with its private key"
        } else {
            "a private key"
        });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::testing::check_files;

    fn found(path: &str, text: &str) -> bool {
        let said = check_files("python3.13", "app.handler", &[("app.py", "def handler(e, c): pass"), (path, text)]);
        said.iter().any(|f| f.starts_with("secret-file"))
    }

    #[test]
    fn secrets_are_found_and_samples_are_not() {
        let key = "-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\n";
        for (path, text) in [
            (".env", "A=1"),
            (".env.production", ""),
            ("conf/.aws/credentials", ""),
            (".netrc", ""),
            ("tls.key", key),
            ("server.pem", key),
            ("sa.json", r#"{"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----\n"}"#),
            ("id_rsa", ""),
            ("k.p12", ""),
        ] {
            assert!(found(path, text), "{path}");
        }
        for (path, text) in [
            (".env.example", "A="),
            ("ca.pem", "-----BEGIN CERTIFICATE-----"),
            ("en.json", "{}"),
            ("environment.py", ""),
            ("my.aws/x", ""),
            ("public.key", "x"),
        ] {
            assert!(!found(path, text), "{path}");
        }
    }
}
