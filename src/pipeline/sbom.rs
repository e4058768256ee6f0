//! What is in an artifact, for tools that look for known vulnerabilities: CycloneDX 1.6 in JSON, beside the artifact.
//!
//! Everything in it comes from the plan, in the order of names: no time, no random serial number, so that the same artifact has
//! the same bill. Packages are named by package URLs (<https://github.com/package-url/purl-spec>).

use std::path::Path;

use serde_json::{Value, json};

use super::{Plan, PlannedPackage};
use crate::error::Result;
use crate::fsio;
use crate::lambda::{self, Family};

/// What the file of a function or layer is called.
pub(super) fn file_name(name: &str) -> String {
    format!("{name}.cdx.json")
}

/// Writes one bill for each function and layer that is packed, where it is not there already.
pub(super) fn write(plan: &Plan, is_packed: impl Fn(&str) -> bool, out_dir: &Path) -> Result<()> {
    let functions = plan.functions.iter().map(|f| (&f.spec.name, &f.packages, f.spec.runtime.as_str()));
    let layers = plan.layers.iter().map(|layer| {
        let runtime = layer.runtimes.first().map_or("", String::as_str);
        (&layer.name, &layer.packages, runtime)
    });
    for (name, packages, runtime) in functions.chain(layers).filter(|(name, ..)| is_packed(name)) {
        let bill = bill(name, packages, runtime);
        let text = serde_json::to_string_pretty(&bill).unwrap_or_default() + "\n";
        let path = out_dir.join(file_name(name));
        if !std::fs::read(&path).is_ok_and(|there| there == text.as_bytes()) {
            fsio::write_atomic(&path, text.as_bytes())?;
        }
    }
    Ok(())
}

fn bill(name: &str, packages: &[PlannedPackage], runtime: &str) -> Value {
    let mut sorted: Vec<&PlannedPackage> = packages.iter().collect();
    sorted.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    sorted.dedup_by(|a, b| (&a.name, &a.version, a.is_native) == (&b.name, &b.version, b.is_native));
    let components: Vec<Value> = sorted.iter().map(|package| component(package, runtime)).collect();
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "tools": {"components": [{
                "type": "application",
                "name": env!("CARGO_PKG_NAME"),
                "version": env!("CARGO_PKG_VERSION"),
            }]},
            "component": {"type": "application", "bom-ref": name, "name": name},
        },
        "components": components,
        "dependencies": [{
            "ref": name,
            "dependsOn": components.iter().map(|component| component["bom-ref"].clone()).collect::<Vec<_>>(),
        }],
    })
}

fn component(package: &PlannedPackage, runtime: &str) -> Value {
    let purl = purl(package, runtime);
    let mut component = json!({"type": "library", "bom-ref": purl, "name": package.name});
    if !package.version.is_empty() {
        component["version"] = json!(package.version);
    }
    component["purl"] = json!(purl);
    component
}

/// `pkg:pypi/numpy@2.3.4`, `pkg:npm/%40aws-sdk/client-s3@3.0.0`, `pkg:maven/group/artifact@1.0`; `generic` for what comes from
/// elsewhere.
fn purl(package: &PlannedPackage, runtime: &str) -> String {
    let family = lambda::find(runtime).map(|runtime| runtime.family);
    let (kind, name) = match family {
        _ if package.is_native => ("generic", encoded(&package.name)),
        // As the registry normalizes names.
        Some(Family::Python { .. }) => ("pypi", encoded(&package.name.to_lowercase().replace(['_', '.'], "-"))),
        Some(Family::Node { .. }) => ("npm", package.name.split('/').map(encoded).collect::<Vec<_>>().join("/")),
        Some(Family::Java { .. }) if package.name.contains(':') => {
            ("maven", package.name.split(':').map(encoded).collect::<Vec<_>>().join("/"))
        }
        _ => ("generic", encoded(&package.name)),
    };
    let version = if package.version.is_empty() { String::new() } else { format!("@{}", encoded(&package.version)) };
    format!("pkg:{kind}/{name}{version}")
}

/// Percent-encoded, but for letters, digits and `.-_~`.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_have_the_names_of_their_registries() {
        let package = |name: &str, version: &str, is_native| PlannedPackage {
            name: name.to_owned(),
            version: version.to_owned(),
            bytes: 1,
            layer: None,
            is_native,
        };
        for (name, version, runtime, expected) in [
            ("Typing_Extensions", "4.12.2", "python3.13", "pkg:pypi/typing-extensions@4.12.2"),
            ("torch", "2.5.0+cpu", "python3.13", "pkg:pypi/torch@2.5.0%2Bcpu"),
            ("@aws-sdk/client-s3", "3.1.0", "nodejs22.x", "pkg:npm/%40aws-sdk/client-s3@3.1.0"),
            ("com.acme:tool", "1.0", "java21", "pkg:maven/com.acme/tool@1.0"),
            ("thing", "", "provided.al2023", "pkg:generic/thing"),
        ] {
            assert_eq!(purl(&package(name, version, false), runtime), expected);
        }
        assert_eq!(purl(&package("libpq.so.5", "5.15", true), "python3.13"), "pkg:generic/libpq.so.5@5.15");
    }
}
