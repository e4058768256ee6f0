//! Whose a function is: the resolver that the project names, else the only one that finds its manifest.

use super::{Request, Resolver, Weight};
use crate::error::{Error, Result};
use crate::fsio;
use crate::project;

/// The resolver of a function, as its index.
///
/// # Errors
/// When several find something of theirs in its folder and the config does not say which it is, or the one that it names
/// finds nothing.
pub fn claim(resolvers: &[Box<dyn Resolver>], request: &Request<'_>) -> Result<usize> {
    let function = request.function;
    let of = |weight: Weight| {
        let all = resolvers.iter().map(AsRef::as_ref).enumerate();
        all.filter(move |(_, resolver)| resolver.weight() == weight)
    };
    let claimed = |(index, resolver): (usize, &dyn Resolver)| Some((index, resolver.claims(request)?));
    if let Some((index, _)) = of(Weight::Told).find_map(claimed) {
        return Ok(index);
    }
    if let Some(name) = &function.build.resolver {
        let named = resolvers.iter().position(|resolver| resolver.name() == name);
        return named.filter(|index| resolvers[*index].claims(request).is_some()).ok_or_else(|| nothing(name, request));
    }
    let found: Vec<_> = of(Weight::Found).filter_map(claimed).collect();
    match found.as_slice() {
        [] => of(Weight::Rest)
            .find_map(claimed)
            .map(|(index, _)| index)
            .ok_or_else(|| Error::config(format!("nothing knows how to pack it ({})", function.runtime))),
        [(index, _)] => Ok(*index),
        several => {
            let shown = |(index, file): &(usize, std::path::PathBuf)| {
                let file = fsio::relative_to(file, &function.path).display().to_string();
                (resolvers[*index].name().to_owned(), file)
            };
            let several: Vec<(String, String)> = several.iter().map(shown).collect();
            Err(placed(project::several("it", &several), request))
        }
    }
}

fn nothing(name: &str, request: &Request<'_>) -> Error {
    let function = request.function;
    let folder = fsio::relative_to(&function.path, request.project_root);
    let error = Error::config(format!(
        "`resolver = \"{name}\"` finds nothing of its own in `{}` for {}",
        folder.display(),
        function.runtime
    ));
    placed(error, request).hint("check `path` and `runtime`, or leave `resolver` out")
}

fn placed(error: Error, request: &Request<'_>) -> Error {
    match &request.function.defined_at {
        Some(at) => error.at(&at.path, at.line_column),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Context, Resolution};
    use super::*;
    use crate::lambda::{self, Architecture};
    use crate::project::FunctionSpec;
    use std::path::{Path, PathBuf};

    struct Fake(&'static str, Weight, bool);

    impl Resolver for Fake {
        fn name(&self) -> &'static str {
            self.0
        }

        fn weight(&self) -> Weight {
            self.1
        }

        fn claims(&self, _: &Request<'_>) -> Option<PathBuf> {
            self.2.then(|| PathBuf::from("/p/f").join(self.0))
        }

        fn resolve(&self, _: &[Request<'_>], _: &Context<'_>) -> Vec<Result<Resolution>> {
            Vec::new()
        }
    }

    fn chosen(told: bool, found: [bool; 2], resolver: Option<&str>) -> Result<&'static str, String> {
        let all: Vec<Box<dyn Resolver>> = vec![
            Box::new(Fake("told", Weight::Told, told)),
            Box::new(Fake("a", Weight::Found, found[0])),
            Box::new(Fake("b", Weight::Found, found[1])),
            Box::new(Fake("rest", Weight::Rest, true)),
        ];
        let mut function = FunctionSpec::new("f", "/p/f", "provided.al2023");
        function.build.resolver = resolver.map(str::to_owned);
        let request = Request {
            function: &function,
            runtime: lambda::find("provided.al2023").unwrap(),
            architecture: Architecture::X86_64,
            project_root: Path::new("/p"),
            skip: &[],
        };
        claim(&all, &request).map(|index| all[index].name()).map_err(|error| error.to_string())
    }

    #[test]
    fn one_is_told_or_found_or_left() {
        assert_eq!(chosen(true, [true, true], None), Ok("told"));
        assert_eq!(chosen(false, [false, true], None), Ok("b"));
        assert_eq!(chosen(false, [false, false], None), Ok("rest"));
        let both = chosen(false, [true, true], None).unwrap_err();
        assert_eq!(both, "it can be packed in several ways: `a` (by `a`), `b` (by `b`)");
        assert_eq!(chosen(false, [true, true], Some("b")), Ok("b"));
        assert_eq!(chosen(false, [true, true], Some("rest")), Ok("rest"));
        let none = chosen(false, [true, false], Some("b")).unwrap_err();
        assert_eq!(none, "`resolver = \"b\"` finds nothing of its own in `f` for provided.al2023");
    }
}
