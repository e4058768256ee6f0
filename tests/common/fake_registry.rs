//! A registry that misbehaves on request, and ECR with its API beside it on the same port. What it keeps, it keeps as the OCI
//! distribution specification says; a [`Fault`] replaces an answer.
//!
//! Where ECR differs, with its source: Basic authorization with a token that ends ("Private registry authentication" in the
//! Amazon ECR User Guide); 201 to PATCH and a `Range` that stays at the first part (aws/containers-roadmap#2831); 416 for a
//! session that is begun anew (apple/containerization#790); a connection that ends without an answer where the repository
//! is missing (aws/containers-roadmap#1970); no `Location` after a manifest (apple/swift-container-plugin#27); tags that may
//! not be changed, not even to what they are (`ImageTagAlreadyExistsException` in the API model); 202 for a mount that is
//! not done (aws/containers-roadmap#2860); blobs that the validator of manifests does not see yet (clowdhaus/ocync#104);
//! `LayerAvailability`, `RepositoryNotFoundException` and the other shapes of its API (the API model of ECR).

use std::collections::HashMap;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use sha2::Digest as _;

use super::faults::{Request, Rules, head, listen, reset};

/// The account that the fake's ECR belongs to.
pub const ACCOUNT: &str = "111122223333";

/// What happens instead of an answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// An error with this status and code.
    Error(u16, &'static str),
    /// An error with this status and these headers.
    With(u16, &'static [(&'static str, &'static str)]),
    /// It is done, and the connection reset before the answer.
    LostAnswer,
    /// The connection is reset after so many bytes of the body.
    ResetAfter(usize),
    /// Nothing more is read after so many bytes of the body, and nothing is said.
    StopAfter(usize),
    /// A body of more than a megabyte is read slowly: so many milliseconds for each of its eight parts.
    Slow(u64),
    /// The session is gone.
    LostSession,
    /// Every token that was given has ended.
    Expire,
    /// An error of ECR's API with this code.
    Api(&'static str),
    /// The answer's body ends after so many bytes.
    CutAfter(usize),
    /// The answer's body comes slowly: so many milliseconds for each of its eight parts.
    Drip(u64),
    /// Another body of the same length comes.
    Damaged,
}

#[derive(Debug, Default, Clone)]
pub struct Repo {
    pub blobs: HashMap<String, Vec<u8>>,
    pub manifests: HashMap<String, (String, Vec<u8>)>,
    pub tags: HashMap<String, String>,
    pub immutable: bool,
    pub policy: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    ecr: bool,
    /// User name and password that a token service wants.
    bearer: Option<(&'static str, &'static str)>,
    repos: HashMap<String, Repo>,
    sessions: HashMap<String, Vec<u8>>,
    next_session: usize,
    mounts: bool,
    referrers: bool,
    /// The account that asks, as `proxyEndpoint` tells it; the fake's own address otherwise.
    caller: Option<&'static str>,
    token: usize,
    /// Manifests that are refused because the validator sees no blob yet.
    lag: usize,
    blobs_stored: Vec<String>,
    rules: Rules<Fault>,
    requests: Vec<Request>,
}

/// The server; it ends with the test's process.
#[derive(Clone)]
pub struct Fake {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

impl Fake {
    fn start(state: State) -> Self {
        let state = Arc::new(Mutex::new(state));
        let own = Arc::clone(&state);
        let port = listen(move |port, stream| Self { port, state: Arc::clone(&own) }.serve(stream));
        Self { port, state }
    }

    /// A registry that asks nobody who he is, creates what is pushed to, and mounts.
    pub fn plain() -> Self {
        Self::start(State { mounts: true, ..State::default() })
    }

    /// One that sends whoever comes to its token service.
    pub fn with_tokens(user: &'static str, password: &'static str) -> Self {
        Self::start(State { mounts: true, bearer: Some((user, password)), ..State::default() })
    }

    /// ECR with these repositories.
    pub fn ecr(repos: &[&str]) -> Self {
        let repos = repos.iter().map(|name| ((*name).to_owned(), Repo::default())).collect();
        Self::start(State { ecr: true, referrers: true, repos, ..State::default() })
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.host())
    }

    /// The next `times` requests of this method whose target has `part` meet the fault.
    pub fn fail(&self, method: &'static str, part: &str, times: usize, fault: Fault) -> &Self {
        self.state.lock().unwrap().rules.add(method, part, times, fault);
        self
    }

    pub fn mounts(&self, mounts: bool) -> &Self {
        self.state.lock().unwrap().mounts = mounts;
        self
    }

    pub fn immutable(&self, repo: &str) -> &Self {
        self.state.lock().unwrap().repos.get_mut(repo).unwrap().immutable = true;
        self
    }

    pub fn lags(&self, times: usize) -> &Self {
        self.state.lock().unwrap().lag = times;
        self
    }

    pub fn caller(&self, account: &'static str) -> &Self {
        self.state.lock().unwrap().caller = Some(account);
        self
    }

    /// No faults from now on.
    pub fn mend(&self) {
        self.state.lock().unwrap().rules.clear();
    }

    /// A session that another registry sends to.
    pub fn session(&self, id: &str) {
        self.state.lock().unwrap().sessions.insert(id.to_owned(), Vec::new());
    }

    pub fn repo(&self, name: &str) -> Option<Repo> {
        self.state.lock().unwrap().repos.get(name).cloned()
    }

    /// Puts an image in as if somebody had pushed it.
    pub fn put(&self, name: &str, tag: &str, media_type: &str, manifest: &[u8], blobs: &[&[u8]]) {
        let mut state = self.state.lock().unwrap();
        let repo = state.repos.entry(name.to_owned()).or_default();
        repo.blobs.extend(blobs.iter().map(|blob| (digest(blob), blob.to_vec())));
        repo.manifests.insert(digest(manifest), (media_type.to_owned(), manifest.to_vec()));
        repo.tags.insert(tag.to_owned(), digest(manifest));
    }

    pub fn requests(&self, method: &str, part: &str) -> Vec<Request> {
        let state = self.state.lock().unwrap();
        state.requests.iter().filter(|r| r.method == method && r.target.contains(part)).cloned().collect()
    }

    /// Calls of this action of ECR's API.
    pub fn calls(&self, action: &str) -> usize {
        let of = |r: &&Request| r.header("x-amz-target").ends_with(&format!(".{action}"));
        self.state.lock().unwrap().requests.iter().filter(of).count()
    }

    pub fn all_requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    pub fn forget_requests(&self) {
        let mut state = self.state.lock().unwrap();
        state.requests.clear();
        state.blobs_stored.clear();
    }

    /// Digests of blobs in the order in which they were stored; one that was pushed twice is there twice.
    pub fn stored(&self) -> Vec<String> {
        self.state.lock().unwrap().blobs_stored.clone()
    }

    /// Bytes of blobs that came.
    pub fn bytes(&self) -> usize {
        self.requests("PUT", "/blobs/uploads/").iter().map(|r| r.body).sum()
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while let Some(mut request) = head(&mut reader) {
            let target = format!("{} {}", request.target, request.header("x-amz-target"));
            let fault = self.state.lock().unwrap().rules.of(&request.method, &target);
            let length: usize = request.header("content-length").parse().unwrap_or(0);
            let wanted = match fault {
                Some(Fault::ResetAfter(n) | Fault::StopAfter(n)) => n.min(length),
                _ => length,
            };
            let mut body = vec![0; wanted];
            let pause = match fault {
                Some(Fault::Slow(ms)) if length > 1 << 20 => ms,
                _ => 0,
            };
            let parts = if pause > 0 { wanted.div_ceil(8) } else { wanted.max(1) };
            for part in body.chunks_mut(parts) {
                std::thread::sleep(Duration::from_millis(pause));
                if reader.read_exact(part).is_err() {
                    return;
                }
            }
            request.body = length;
            self.state.lock().unwrap().requests.push(request.clone());
            match &fault {
                Some(Fault::ResetAfter(_)) => return reset(stream),
                Some(Fault::StopAfter(_)) => return std::thread::sleep(Duration::from_secs(60)),
                _ => {}
            }
            let Some(mut answer) = self.answer(&request, &body, fault.as_ref()) else { return reset(stream) };
            if matches!(fault, Some(Fault::LostAnswer)) {
                return reset(stream);
            }
            if matches!(fault, Some(Fault::Damaged)) && !answer.body.is_empty() {
                answer.body[0] ^= 1;
            }
            let (mut sent, mut pause, mut cut) = (answer.bytes(&request.method), 0, false);
            match fault {
                Some(Fault::CutAfter(n)) => {
                    sent.truncate(sent.len() - answer.body.len() + n);
                    cut = true;
                }
                Some(Fault::Drip(ms)) => pause = ms,
                _ => {}
            }
            let part = if pause > 0 { sent.len().div_ceil(8) } else { sent.len() };
            for piece in sent.chunks(part) {
                std::thread::sleep(Duration::from_millis(pause));
                if stream.write_all(piece).is_err() {
                    return;
                }
            }
            if cut {
                return reset(stream);
            }
        }
    }

    /// Nothing where the connection ends without an answer.
    fn answer(&self, request: &Request, body: &[u8], fault: Option<&Fault>) -> Option<Answer> {
        let mut state = self.state.lock().unwrap();
        match fault {
            Some(Fault::Error(status, code)) => return Some(Answer::error(*status, code)),
            Some(Fault::With(status, headers)) => {
                let mut answer = Answer::error(*status, "FAKE");
                answer.headers.extend(headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
                return Some(answer);
            }
            Some(Fault::Expire) => state.token += 1,
            Some(Fault::Api(code)) => {
                return Some(Answer::json(400, &json!({"__type": code, "message": format!("The fake says {code}.")})));
            }
            Some(Fault::LostSession) => {
                state.sessions.clear();
                return Some(Answer::error(404, "BLOB_UPLOAD_UNKNOWN"));
            }
            _ => {}
        }
        if request.target == "/" {
            return Some(state.api(request, body, &self.host()));
        }
        if let Some(query) = request.target.strip_prefix("/token") {
            return Some(state.give_token(request, query));
        }
        if !state.knows(request) {
            let mut answer = Answer::error(401, "UNAUTHORIZED");
            let challenge = if state.ecr {
                format!("Basic realm=\"{}/\",service=\"ecr.amazonaws.com\"", self.endpoint())
            } else {
                format!("Bearer realm=\"{}/token\",service=\"fake\",scope=\"repository:x:pull\"", self.endpoint())
            };
            answer.headers.push(("www-authenticate".into(), challenge));
            return Some(answer);
        }
        state.registry(request, body)
    }
}

impl State {
    fn token_now(&self) -> String {
        base64::engine::general_purpose::STANDARD.encode(format!("AWS:secret-token-{}", self.token))
    }

    fn knows(&self, request: &Request) -> bool {
        let header = request.header("authorization");
        match (self.ecr, self.bearer) {
            (true, _) => header == format!("Basic {}", self.token_now()),
            (false, Some(_)) => {
                let scopes = header.strip_prefix(&format!("Bearer token-{}-", self.token)).unwrap_or_default();
                let name = name(&request.target).0;
                let pushes = !matches!(request.method.as_str(), "GET" | "HEAD");
                let wanted = format!("repository:{name}:pull{}", if pushes { ",push" } else { "" });
                scopes.split('+').any(|scope| scope.starts_with(&wanted))
            }
            (false, None) => true,
        }
    }

    fn give_token(&self, request: &Request, query: &str) -> Answer {
        let (user, password) = self.bearer.unwrap();
        let wanted = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        if request.header("authorization") != format!("Basic {wanted}") {
            return Answer::error(401, "UNAUTHORIZED");
        }
        let scopes: Vec<String> = pairs(query).into_iter().filter(|(k, _)| k == "scope").map(|(_, v)| v).collect();
        Answer::json(200, &json!({"token": format!("token-{}-{}", self.token, scopes.join("+")), "expires_in": 300}))
    }

    fn registry(&mut self, request: &Request, body: &[u8]) -> Option<Answer> {
        let (name, kind, rest) = name(&request.target);
        let (rest, query) = rest.split_once('?').unwrap_or((rest.as_str(), ""));
        let (method, query) = (request.method.as_str(), pairs(query));
        let of = |key: &str| query.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
        if !self.repos.contains_key(&name) {
            match (self.ecr, method) {
                // As aws/containers-roadmap#1970 has it.
                (true, "POST" | "PUT" | "PATCH") => return None,
                (true, _) => return Some(Answer::error(404, "NAME_UNKNOWN")),
                (false, "POST") => drop(self.repos.insert(name.clone(), Repo::default())),
                (false, _) => return Some(Answer::error(404, "NAME_UNKNOWN")),
            }
        }
        Some(match (kind.as_str(), method) {
            ("blobs", "POST") => self.begin(&name, of("mount"), of("from")),
            ("blobs", "PATCH") => self.patch(rest, body),
            ("blobs", "PUT") => self.put_blob(&name, rest, &of("digest").unwrap_or_default(), body),
            ("blobs", _) => self.blob(&name, rest, request.header("range")),
            ("manifests", "PUT") => self.put_manifest(&name, rest, request.header("content-type"), body),
            ("manifests", _) => self.manifest(&name, rest),
            ("referrers", "GET") if self.referrers => self.referrers(&name, rest),
            _ => Answer::error(404, "UNSUPPORTED"),
        })
    }

    fn begin(&mut self, name: &str, mount: Option<String>, from: Option<String>) -> Answer {
        if let (Some(digest), Some(from)) = (mount, from)
            && self.mounts
            && let Some(blob) = self.repos.get(&from).and_then(|repo| repo.blobs.get(&digest)).cloned()
        {
            self.repos.get_mut(name).unwrap().blobs.insert(digest, blob);
            return Answer { status: 201, ..Answer::default() };
        }
        self.next_session += 1;
        let id = format!("uploads/{}", self.next_session);
        self.sessions.insert(id.clone(), Vec::new());
        let location = format!("/v2/{name}/blobs/{id}?_state=x");
        Answer { status: 202, headers: vec![("location".into(), location)], ..Answer::default() }
    }

    fn patch(&mut self, session: &str, body: &[u8]) -> Answer {
        let Some(bytes) = self.sessions.get_mut(session) else { return Answer::error(404, "BLOB_UPLOAD_UNKNOWN") };
        bytes.extend_from_slice(body);
        let status = if self.ecr { 201 } else { 202 };
        Answer { status, headers: vec![("range".into(), "0-10485759".into())], ..Answer::default() }
    }

    fn put_blob(&mut self, name: &str, session: &str, wanted: &str, body: &[u8]) -> Answer {
        let Some(mut bytes) = self.sessions.remove(session) else {
            return Answer::error(404, "BLOB_UPLOAD_UNKNOWN");
        };
        bytes.extend_from_slice(body);
        if digest(&bytes) != wanted {
            return Answer::error(400, "DIGEST_INVALID");
        }
        self.blobs_stored.push(wanted.to_owned());
        self.repos.get_mut(name).unwrap().blobs.insert(wanted.to_owned(), bytes);
        Answer { status: 201, headers: vec![("docker-content-digest".into(), wanted.into())], ..Answer::default() }
    }

    fn blob(&self, name: &str, digest: &str, range: &str) -> Answer {
        let Some(bytes) = self.repos[name].blobs.get(digest) else { return Answer::error(404, "BLOB_UNKNOWN") };
        let first = range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-')?.parse::<usize>().ok());
        match first {
            Some(first) => {
                let range = format!("bytes {first}-{}/{}", bytes.len() - 1, bytes.len());
                let headers = vec![("content-range".into(), range)];
                Answer { status: 206, headers, body: bytes[first..].to_vec() }
            }
            None => Answer { status: 200, headers: Vec::new(), body: bytes.clone() },
        }
    }

    fn put_manifest(&mut self, name: &str, reference: &str, media_type: &str, body: &[u8]) -> Answer {
        let document: Value = serde_json::from_slice(body).unwrap();
        let named = |list: &str| document[list].as_array().cloned().unwrap_or_default();
        let blobs = named("layers").into_iter().chain([document["config"].clone()]).filter(|d| !d.is_null());
        let mut wanted = blobs.map(|descriptor| descriptor["digest"].as_str().unwrap().to_owned());
        let repo = self.repos.get_mut(name).unwrap();
        if !wanted.all(|digest| repo.blobs.contains_key(&digest)) || self.lag > 0 {
            self.lag = self.lag.saturating_sub(1);
            return Answer::error(404, "BLOB_UNKNOWN");
        }
        let digest = digest(body);
        if !reference.contains(':') {
            if repo.immutable && repo.tags.contains_key(reference) {
                let message = format!(
                    "The image tag '{reference}' already exists in the '{name}' repository and cannot be overwritten because the repository is immutable."
                );
                return Answer::json(400, &json!({"errors": [{"code": "TAG_INVALID", "message": message}]}));
            }
            repo.tags.insert(reference.to_owned(), digest.clone());
        }
        repo.manifests.insert(digest.clone(), (media_type.to_owned(), body.to_vec()));
        let mut headers = vec![("docker-content-digest".to_owned(), digest.clone())];
        if !self.ecr {
            headers.push(("location".into(), format!("/v2/{name}/manifests/{digest}")));
        }
        Answer { status: 201, headers, ..Answer::default() }
    }

    fn manifest(&self, name: &str, reference: &str) -> Answer {
        let repo = &self.repos[name];
        let digest = repo.tags.get(reference).map_or(reference, String::as_str);
        let Some((media_type, bytes)) = repo.manifests.get(digest) else {
            return Answer::error(404, "MANIFEST_UNKNOWN");
        };
        let headers = vec![
            ("content-type".to_owned(), media_type.clone()),
            ("docker-content-digest".to_owned(), digest.to_owned()),
        ];
        Answer { status: 200, headers, body: bytes.clone() }
    }

    fn referrers(&self, name: &str, subject: &str) -> Answer {
        let manifests = self.repos[name].manifests.iter().filter_map(|(digest, (media_type, bytes))| {
            let document: Value = serde_json::from_slice(bytes).unwrap();
            let is_of = document["subject"]["digest"] == subject;
            is_of.then(|| json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}))
        });
        let mut answer = Answer::json(200, &json!({"schemaVersion": 2, "manifests": manifests.collect::<Vec<_>>()}));
        answer.headers = vec![("content-type".into(), "application/vnd.oci.image.index.v1+json".into())];
        answer
    }

    fn api(&mut self, request: &Request, body: &[u8], host: &str) -> Answer {
        let input: Value = serde_json::from_slice(body).unwrap_or_default();
        let target = request.header("x-amz-target").to_owned();
        let action = target.rsplit('.').next().unwrap_or_default();
        let name =
            input["repositoryName"].as_str().or_else(|| input["repositoryNames"][0].as_str()).unwrap_or_default();
        let refused =
            |code: &str| Answer::json(400, &json!({"__type": code, "message": format!("The fake says {code}.")}));
        let describe =
            || json!({"repositoryName": name, "registryId": ACCOUNT, "repositoryUri": format!("{host}/{name}")});
        match action {
            "GetAuthorizationToken" => {
                let endpoint = self.caller.map_or_else(
                    || format!("http://{host}"),
                    |account| format!("https://{account}.dkr.ecr.eu-west-1.amazonaws.com"),
                );
                Answer::json(
                    200,
                    &json!({"authorizationData": [{
                        "authorizationToken": self.token_now(), "expiresAt": 4_000_000_000.0, "proxyEndpoint": endpoint,
                    }]}),
                )
            }
            "CreateRepository" if self.repos.contains_key(name) => refused("RepositoryAlreadyExistsException"),
            "CreateRepository" => {
                self.repos.insert(name.to_owned(), Repo::default());
                Answer::json(200, &json!({"repository": describe()}))
            }
            _ if !self.repos.contains_key(name) => refused("RepositoryNotFoundException"),
            "DescribeRepositories" => Answer::json(200, &json!({"repositories": [describe()]})),
            "BatchCheckLayerAvailability" => {
                let digests = input["layerDigests"].as_array().unwrap();
                if digests.len() > 100 {
                    return refused("InvalidParameterException");
                }
                let repo = &self.repos[name];
                let (there, missing): (Vec<&Value>, Vec<&Value>) =
                    digests.iter().partition(|digest| repo.blobs.contains_key(digest.as_str().unwrap()));
                let layers: Vec<Value> = there
                    .iter()
                    .map(|digest| json!({"layerDigest": digest, "layerAvailability": "AVAILABLE", "layerSize": 1}))
                    .collect();
                let failures: Vec<Value> = missing.iter().map(|digest| json!({"layerDigest": digest, "failureCode": "MissingLayerDigest", "failureReason": "Layer is missing."})).collect();
                Answer::json(200, &json!({"layers": layers, "failures": failures}))
            }
            "GetRepositoryPolicy" => match &self.repos[name].policy {
                Some(policy) => {
                    Answer::json(200, &json!({"repositoryName": name, "registryId": ACCOUNT, "policyText": policy}))
                }
                None => refused("RepositoryPolicyNotFoundException"),
            },
            "SetRepositoryPolicy" => {
                self.repos.get_mut(name).unwrap().policy = input["policyText"].as_str().map(str::to_owned);
                Answer::json(200, &json!({"repositoryName": name}))
            }
            _ => refused("UnknownOperationException"),
        }
    }
}

/// Name, kind and the rest of `/v2/NAME/blobs/REST`.
fn name(target: &str) -> (String, String, String) {
    let path = target.strip_prefix("/v2/").unwrap_or_default();
    for kind in ["blobs", "manifests", "referrers"] {
        if let Some((name, rest)) = path.split_once(&format!("/{kind}/")) {
            return (name.to_owned(), kind.to_owned(), rest.to_owned());
        }
    }
    (String::new(), String::new(), String::new())
}

/// Pairs of a query, decoded.
fn pairs(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let mut out = Vec::new();
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            let mut hex = || char::from(bytes.next().unwrap()).to_digit(16).unwrap();
            out.push(if byte == b'%' { u8::try_from(hex() * 16 + hex()).unwrap() } else { byte });
        }
        String::from_utf8(out).unwrap()
    };
    let query = query.trim_start_matches('?');
    query.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (decode(k), decode(v))).collect()
}

pub fn digest(bytes: &[u8]) -> String {
    sha2::Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |out, byte| format!("{out}{byte:02x}"))
}

#[derive(Debug, Default)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn error(status: u16, code: &str) -> Self {
        Self::json(status, &json!({"errors": [{"code": code, "message": format!("The fake says {code}.")}]}))
    }

    fn json(status: u16, document: &Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { status, headers, body: document.to_string().into_bytes() }
    }

    fn bytes(&self, method: &str) -> Vec<u8> {
        let mut out = format!("HTTP/1.1 {} X\r\ncontent-length: {}\r\n", self.status, self.body.len()).into_bytes();
        for (name, value) in &self.headers {
            out.extend(format!("{name}: {value}\r\n").bytes());
        }
        out.extend(b"\r\n");
        if method != "HEAD" {
            out.extend(&self.body);
        }
        out
    }
}
