//! `WWW-Authenticate`: how a registry wants to be asked.
//!
//! Source: RFC 9110, "WWW-Authenticate" and "Authentication parameters"; the distribution project's "Token authentication
//! specification" for `realm`, `service` and `scope`.

/// A way of authentication that a server has named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User name and password with each request.
    Basic,
    /// A token of a token service.
    Bearer {
        /// The service's address.
        realm: String,
        /// What it is to be told as `service`.
        service: Option<String>,
        /// What it is to be told as `scope`.
        scope: Option<String>,
    },
}

/// No header is longer.
const MOST: usize = 8 << 10;

impl Challenge {
    /// The first challenge of a header that can be answered; Bearer before Basic, since a registry that names both prefers it.
    pub(super) fn of(header: &str) -> Option<Self> {
        let all = read(header.get(..MOST).unwrap_or(header));
        let bearer = all.iter().find_map(|(scheme, parameters)| {
            let of = |name: &str| {
                parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
            };
            let is_bearer = scheme.eq_ignore_ascii_case("bearer");
            is_bearer.then(|| Some(Self::Bearer { realm: of("realm")?, service: of("service"), scope: of("scope") }))?
        });
        bearer.or_else(|| all.iter().any(|(scheme, _)| scheme.eq_ignore_ascii_case("basic")).then_some(Self::Basic))
    }
}

type Parameters = Vec<(String, String)>;

/// Schemes with their parameters. What cannot be read is passed over.
fn read(header: &str) -> Vec<(String, Parameters)> {
    let mut out: Vec<(String, Parameters)> = Vec::new();
    let mut rest = header.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !is_token(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let value = after.trim_start().strip_prefix('=').filter(|_| !word.is_empty());
        rest = match value {
            Some(value) => {
                let (value, after) = read_value(value.trim_start());
                if let Some((_, parameters)) = out.last_mut() {
                    parameters.push((word.to_owned(), value));
                }
                after
            }
            None if !word.is_empty() => {
                out.push((word.to_owned(), Vec::new()));
                after
            }
            // A character that belongs nowhere.
            None => rest.get(rest.chars().next().map_or(1, char::len_utf8)..).unwrap_or_default(),
        };
        rest = rest.trim_start_matches([' ', '\t', ',']);
    }
    out
}

/// A quoted string, or a token, and what follows it.
fn read_value(text: &str) -> (String, &str) {
    let Some(inner) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &inner[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Some(Challenge::Bearer { realm: realm.to_owned(), service: own(service), scope: own(scope) })
    }

    #[test]
    fn challenges_as_registries_write_them() {
        for (header, expected) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/python:pull""#,
                bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:library/python:pull"),
                ),
            ),
            (
                r#"Bearer realm="https://public.ecr.aws/token/",service="public.ecr.aws",scope="aws""#,
                bearer("https://public.ecr.aws/token/", Some("public.ecr.aws"), Some("aws")),
            ),
            (
                r#"Basic realm="https://1.dkr.ecr.eu-west-1.amazonaws.com/",service="ecr.amazonaws.com""#,
                Some(Challenge::Basic),
            ),
            (r"bearer realm=https://t , scope = x", bearer("https://t", None, Some("x"))),
            (r#"Basic realm="a, Bearer realm=b", Bearer realm="c\"d,e""#, bearer("c\"d,e", None, None)),
            (r#"Negotiate, Basic realm="x""#, Some(Challenge::Basic)),
            (r"Bearer error=invalid_token", None),
            (r"Negotiate", None),
            ("", None),
            (r#"Bearer realm="unended"#, bearer("unended", None, None)),
        ] {
            assert_eq!(Challenge::of(header), expected, "{header}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_server_writes_is_read_to_its_end(header in "\\PC{0,200}") {
            let _ = Challenge::of(&header);
        }

        #[test]
        fn a_realm_is_read_as_it_was_written(realm in "[ -~]{1,60}", more in "[a-z]{1,5}=[a-z]{0,5}") {
            let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
            let header = format!("Bearer {more}, realm=\"{quoted}\"");
            prop_assert_eq!(Challenge::of(&header).map(|c| match c { Challenge::Bearer { realm, .. } => realm, Challenge::Basic => String::new() }), Some(realm));
        }
    }
}
