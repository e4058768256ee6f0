//! The names of outputs, made of functions' names.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// `my-api` as `MY_API`.
pub(super) fn upper(name: &str) -> String {
    name.to_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_")
}

/// `my-Api` as `my_api`.
pub(super) fn lower(name: &str) -> String {
    name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_")
}

/// `my-api` as `MyApi`: parameters of CloudFormation have letters and digits only.
pub(super) fn camel(name: &str) -> String {
    name.split(|c: char| !c.is_ascii_alphanumeric())
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
        })
        .collect()
}

/// Refuses names of functions that CloudFormation's parameters would not tell apart.
///
/// # Errors
/// It names both, and what they become.
pub fn unique_parameters<'a>(functions: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut seen = BTreeMap::new();
    for name in functions {
        if let Some(other) = seen.insert(camel(name), name) {
            return Err(Error::config(format!(
                "functions `{other}` and `{name}` are both `{}…` among CloudFormation's parameters",
                camel(name)
            ))
            .hint("rename one of them, or use another `--format`"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_each_form() {
        for (name, forms) in [
            ("api", ["API", "api", "Api"]),
            ("my-api_2", ["MY_API_2", "my_api_2", "MyApi2"]),
            ("myApi", ["MYAPI", "myapi", "MyApi"]),
            ("Outer/Api", ["OUTER_API", "outer_api", "OuterApi"]),
        ] {
            assert_eq!([upper(name), lower(name), camel(name)], forms);
        }
        assert!(unique_parameters(["a", "b"].into_iter()).is_ok());
        let error = unique_parameters(["my-api", "myApi"].into_iter()).unwrap_err();
        assert!(error.to_string().contains("`MyApi…`"), "{error}");
    }
}
