//! Registries for tests: Debian's `docker-registry`, a server that says what it is told to, and a
//! proxy that breaks connections.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::super::store::{Image, ImageStore};
use super::super::{ConfigChange, ImportOptions, Reference, no_progress};
use super::Registries;

/// What came to a [`Server`].
pub(in crate::image) struct Request {
    pub(in crate::image) method: String,
    pub(in crate::image) path: String,
    pub(in crate::image) headers: HashMap<String, String>,
    pub(in crate::image) body: Vec<u8>,
}

/// What it says to that.
#[derive(Default)]
pub(in crate::image) struct Reply {
    pub(in crate::image) status: u16,
    pub(in crate::image) headers: Vec<(&'static str, String)>,
    pub(in crate::image) body: Vec<u8>,
    /// Break the connection after so many bytes of the body.
    pub(in crate::image) cut: Option<usize>,
    /// Be silent for so long before the body.
    pub(in crate::image) silence: Duration,
    /// Send the body piece by piece, each after a pause, and count the bytes.
    pub(in crate::image) pace: Option<(Duration, Arc<AtomicUsize>)>,
    /// Send the body again and again, without ever saying how long it is.
    pub(in crate::image) endless: bool,
}

pub(in crate::image) fn ok(body: impl Into<Vec<u8>>) -> Reply {
    Reply {
        status: 200,
        body: body.into(),
        ..Default::default()
    }
}

pub(in crate::image) fn status(status: u16) -> Reply {
    Reply {
        status,
        ..Default::default()
    }
}

/// A server on the loopback interface that says what it is told to.
pub(in crate::image) struct Server {
    pub(in crate::image) address: SocketAddr,
    /// Bytes that went through a proxy.
    pub(in crate::image) carried: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(in crate::image) fn start(
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let answer = Arc::new(answer);
        Self::accept(move |stream| {
            // A client that speaks TLS to us, or goes away: its own matter.
            let _ = serve(stream, &*answer);
        })
    }

    /// Each connection gets a thread of its own.
    fn accept(each: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let each = Arc::new(each);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let (stream, each) = (stream.unwrap(), Arc::clone(&each));
                std::thread::spawn(move || each(stream));
            }
        });
        Self {
            address,
            carried: Arc::default(),
            ended,
            thread: Some(thread),
        }
    }

    /// Stands before `target`. Connection by connection `cuts` says after how many bytes, of both
    /// directions, it breaks; `None` = never.
    pub(in crate::image) fn cutting(
        target: SocketAddr,
        cuts: impl Fn(usize) -> Option<usize> + Send + Sync + 'static,
    ) -> Self {
        let count = AtomicUsize::new(0);
        let carried = Arc::new(AtomicUsize::new(0));
        let sum = Arc::clone(&carried);
        let mut server = Self::accept(move |client| {
            let cut = cuts(count.fetch_add(1, Ordering::SeqCst)).unwrap_or(usize::MAX);
            let Ok(server) = TcpStream::connect(target) else {
                return;
            };
            let left = Arc::new(AtomicUsize::new(cut));
            let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let other = Arc::clone(&left);
            let thread = std::thread::spawn(move || carry(back.0, back.1, &other));
            carry(client, server, &left);
            let _ = thread.join();
            sum.fetch_add(cut - left.load(Ordering::SeqCst), Ordering::SeqCst);
        });
        server.carried = carried;
        server
    }

    /// Speaks `CONNECT` and leads every tunnel to `target`, whatever was asked for; wants this value
    /// of `Proxy-Authorization`.
    pub(in crate::image) fn tunnel(
        target: SocketAddr,
        authorization: Option<&'static str>,
    ) -> Self {
        Self::accept(move |client| {
            let mut reader = BufReader::new(client.try_clone().unwrap());
            let lines = head(&mut reader).unwrap_or_default();
            let line = authorization.map(|value| format!("Proxy-Authorization: {value}"));
            let may = line.is_none_or(|line| lines.contains(&line));
            let connects = lines
                .first()
                .is_some_and(|first| first.starts_with("CONNECT "));
            let mut client = client;
            if !may || !connects {
                let _ = client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
                return;
            }
            let _ = client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n");
            let Ok(server) = TcpStream::connect(target) else {
                return;
            };
            let left = Arc::new(AtomicUsize::new(usize::MAX));
            let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let other = Arc::clone(&left);
            let thread = std::thread::spawn(move || carry(back.0, back.1, &other));
            carry(client, server, &left);
            let _ = thread.join();
        })
    }

    pub(in crate::image) fn name(&self, text: &str) -> Reference {
        format!("{}/{text}", self.address).parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, left: &AtomicUsize) {
    let mut buffer = [0; 16 << 10];
    loop {
        let count = from.read(&mut buffer).unwrap_or(0);
        let before = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            Some(left.saturating_sub(count))
        });
        let may = before.unwrap_or(0).min(count);
        let sent = to.write_all(&buffer[..may]).is_ok();
        if count == 0 || may < count || !sent {
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
            return;
        }
    }
}

fn head(reader: &mut impl BufRead) -> std::io::Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            return Ok(lines);
        }
        lines.push(line.trim_end().to_owned());
    }
}

fn serve(mut stream: TcpStream, answer: &impl Fn(&Request) -> Reply) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    // The first byte of TLS is 22; it has no lines to wait for.
    if reader.fill_buf()?.first() == Some(&22) {
        return stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    }
    let lines = head(&mut reader)?;
    let Some(first) = lines.first() else {
        return Ok(());
    };
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let headers = lines[1..].iter().filter_map(|line| line.split_once(": "));
    let headers: HashMap<String, String> = headers
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers
        .get("content-length")
        .map_or(0, |length| length.parse::<u64>().unwrap());
    // One that breaks off is told of, too: what has come of it counts.
    let mut body = Vec::new();
    let _ = reader.take(length).read_to_end(&mut body);
    let reply = answer(&Request {
        method: method.clone(),
        path,
        headers,
        body,
    });
    write!(
        stream,
        "HTTP/1.1 {} X\r\nConnection: close\r\n",
        reply.status
    )?;
    if !reply.endless {
        write!(stream, "Content-Length: {}\r\n", reply.body.len())?;
    }
    for (name, value) in &reply.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    std::thread::sleep(reply.silence);
    if method == "HEAD" {
        return Ok(());
    }
    if reply.endless {
        loop {
            stream.write_all(&reply.body)?;
        }
    }
    let body = &reply.body[..reply.cut.unwrap_or(reply.body.len())];
    let Some((pause, count)) = reply.pace else {
        return stream.write_all(body);
    };
    for piece in body.chunks(32 << 10) {
        std::thread::sleep(pause);
        stream.write_all(piece)?;
        count.fetch_add(piece.len(), Ordering::SeqCst);
    }
    Ok(())
}

/// `me` with the password `U*U` (a test vector of crypt_blowfish).
const HTPASSWD: &str = "me:$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n";

/// A `docker-registry` of its own; it ends with the test.
pub(in crate::image) struct Registry {
    process: Child,
    pub(in crate::image) address: SocketAddr,
    login: Option<&'static str>,
    dir: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether these programs are installed: said aloud where not; a failure where they have to be.
pub(in crate::image) fn installed(programs: &[&str]) -> bool {
    let missing = programs
        .iter()
        .find(|program| !Path::new("/usr/bin").join(program).exists());
    if let Some(program) = missing {
        assert!(
            std::env::var_os("CI").is_none(),
            "{program} is not installed"
        );
        eprintln!("SKIPPED: {program} is not installed");
    }
    missing.is_none()
}

/// How a registry is to be spoken to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tls {
    Off,
    On,
    Mutual,
}

impl Registry {
    /// `None` where the programs are not installed.
    pub(in crate::image) fn start(login: Option<&'static str>) -> Option<Self> {
        Self::start_with(login, Tls::Off)
    }

    /// With TLS, by a certificate for `registry.test` of an authority of its own (see
    /// [`Registry::authority`]).
    pub(in crate::image) fn start_with_tls() -> Option<Self> {
        Self::start_with(None, Tls::On)
    }

    /// The same, for those only who show a certificate of its authority (see [`Registry::client`]).
    pub(in crate::image) fn start_with_mutual_tls() -> Option<Self> {
        Self::start_with(None, Tls::Mutual)
    }

    fn start_with(login: Option<&'static str>, tls: Tls) -> Option<Self> {
        if !installed(&["docker-registry", "skopeo", "openssl"]) {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let password = dir.path().join("htpasswd");
        std::fs::write(&password, HTPASSWD).unwrap();
        let mut config = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  delete:\n    enabled: true\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n",
            dir.path().join("data").display()
        );
        let path = |name: &str| dir.path().join(name).display().to_string();
        if tls != Tls::Off {
            make_certificates(dir.path());
            let (cert, key) = (path("server.crt"), path("server.key"));
            config += &format!("  tls:\n    certificate: {cert}\n    key: {key}\n");
        }
        if tls == Tls::Mutual {
            config += &format!("    clientcas: ['{}']\n", path("ca.crt"));
        }
        if login.is_some() {
            let path = password.display();
            config += &format!("auth:\n  htpasswd:\n    realm: test\n    path: {path}\n");
        }
        let path = dir.path().join("config.yml");
        std::fs::write(&path, config).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self {
            process,
            address,
            login,
            dir,
        };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "the registry does not start"
            );
            std::thread::yield_now();
        }
        Some(registry)
    }

    /// The certificate of the authority.
    pub(in crate::image) fn authority(&self) -> PathBuf {
        self.dir.path().join("ca.crt")
    }

    /// A certificate of the authority for whoever asks the registry, and its key.
    pub(in crate::image) fn client(&self) -> (PathBuf, PathBuf) {
        let path = |name| self.dir.path().join(name);
        (path("client.crt"), path("client.key"))
    }

    /// The same, of somebody whom the authority does not know.
    pub(in crate::image) fn stranger(&self) -> (PathBuf, PathBuf) {
        let path = |name| self.dir.path().join(name);
        (path("stranger.crt"), path("stranger.key"))
    }

    pub(in crate::image) fn name(&self, text: &str) -> Reference {
        format!("{}/{text}", self.address).parse().unwrap()
    }

    /// Copies an image of a store to the registry under the same path.
    pub(in crate::image) fn push(&self, root: &Path, from: &str, to: &str) {
        let source: Reference = from.parse().unwrap();
        let from = format!("oci:{}:{source}", root.join("images").display());
        let to = format!("docker://{}/{to}", self.address);
        self.skopeo(
            &["copy", "--preserve-digests", "--dest-tls-verify=false"],
            "--dest-creds",
            &[&from, &to],
        );
    }

    /// What `skopeo` sees of an image here.
    pub(in crate::image) fn inspect(&self, name: &str) -> serde_json::Value {
        let name = format!("docker://{}/{name}", self.address);
        let output = self.skopeo(
            &["inspect", "--raw", "--tls-verify=false"],
            "--creds",
            &[&name],
        );
        serde_json::from_slice(&output).unwrap()
    }

    /// Copies an image from here to an OCI layout, with all of its digests checked.
    pub(in crate::image) fn fetch(&self, name: &str, layout: &Path) {
        let name = format!("docker://{}/{name}", self.address);
        let layout = format!("oci:{}:x", layout.display());
        self.skopeo(
            &["copy", "--preserve-digests", "--src-tls-verify=false"],
            "--src-creds",
            &[&name, &layout],
        );
    }

    fn skopeo(&self, first: &[&str], creds: &str, last: &[&str]) -> Vec<u8> {
        let mut skopeo = Command::new("skopeo");
        skopeo.arg("--insecure-policy").args(first);
        if let Some(login) = self.login {
            skopeo.args([creds, login]);
        }
        let output = skopeo.args(last).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    pub(in crate::image) fn put_manifest(&self, path: &str, media_type: &str, body: &[u8]) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(
            stream,
            "PUT /v2/{path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            body.len()
        )
        .unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }
}

/// An authority, certificates of it for `registry.test` and for a client, and a client's of nobody's.
fn make_certificates(dir: &Path) {
    let openssl = |arguments: &str, subject: &str| {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .args(["-subj", subject].iter().filter(|_| !subject.is_empty()))
            .current_dir(dir)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for (name, subject) in [("ca", "/CN=test authority"), ("stranger", "/CN=stranger")] {
        let files = format!("-keyout {name}.key -out {name}.crt");
        openssl(&format!("req -x509 {key} {files} -days 2"), subject);
    }
    std::fs::write(dir.join("ext"), "subjectAltName=DNS:registry.test\n").unwrap();
    for (name, subject) in [("server", "/CN=registry.test"), ("client", "/CN=me")] {
        let files = format!("-keyout {name}.key -out {name}.csr");
        openssl(&format!("req {key} {files}"), subject);
        let by = "-CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext";
        openssl(
            &format!("x509 -req -in {name}.csr {by} -out {name}.crt"),
            "",
        );
    }
}

/// Makes an image in a store.
pub(in crate::image) fn import(
    store: &ImageStore,
    name: &str,
    archive: &[u8],
    base: Option<&str>,
) -> Image {
    let options = ImportOptions {
        base: base.map(|base| base.parse().unwrap()),
        changes: ConfigChange::parse("HEALTHCHECK CMD true").unwrap(),
        ..Default::default()
    };
    store
        .import_rootfs(archive, &name.parse().unwrap(), &options, &no_progress)
        .unwrap()
}

/// Settings of a machine whose environment has nothing but these variables.
pub(in crate::image) fn environment(variables: &[(&str, String)]) -> Registries {
    let env = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.clone())
    };
    Registries::from_environment(&env)
}
