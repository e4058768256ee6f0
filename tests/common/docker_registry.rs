//! Debian's `docker-registry` on a port and in a folder of its own, and `skopeo`, a client that is not ours.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A registry that runs until it is dropped.
pub struct Registry {
    pub host: String,
    dir: tempfile::TempDir,
    process: Child,
}

impl Registry {
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        // The package's own config listens on every interface.
        let config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\nhttp: {{addr: {host}}}\n",
            dir.path().join("data").display()
        );
        std::fs::write(dir.path().join("config.yml"), config).unwrap();
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.tools/bin/docker-registry");
        let process = Command::new(program)
            .arg("serve")
            .arg(dir.path().join("config.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is missing: run `make tools`");
        let registry = Self { host, dir, process };
        for _ in 0..200 {
            if std::net::TcpStream::connect(&registry.host).is_ok() {
                return registry;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("docker-registry does not listen on {}", registry.host);
    }

    /// Where it keeps what it has.
    pub fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs skopeo, which must succeed; gives its standard output.
pub fn skopeo(args: &[&str]) -> String {
    let args: Vec<&std::ffi::OsStr> = args.iter().map(std::ffi::OsStr::new).collect();
    super::tool("skopeo", &args, "apt-get install skopeo")
}

/// Copies an image into a folder in the OCI layout, which compares each digest on the way.
pub fn copy_to_layout(reference: &str, folder: &Path) {
    let from = format!("docker://{reference}");
    skopeo(&["copy", "--quiet", "--src-tls-verify=false", &from, &format!("oci:{}:copy", folder.display())]);
}
