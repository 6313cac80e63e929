//! Sources on other machines: git repositories, and files and archives of the web.
//!
//! A repository is fetched with the `git` program of the machine, the only thing of a build that another
//! program does: git's own way to credentials, proxies and ssh is what its users rely on. How an address
//! is understood is BuildKit's way (docs.docker.com, "Build context", URL fragments and queries).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::StepError;

/// A git repository, at a commit, a branch or a tag.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Repository {
    /// What git fetches.
    pub url: String,
    /// Commit, branch or tag; `None` = the default branch.
    pub reference: Option<String>,
    /// The directory of it that is meant; `None` = its top.
    pub directory: Option<String>,
    /// The commit that it must be, or its first digits.
    pub checksum: Option<String>,
}

/// Something on another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// A git repository.
    Repository(Repository),
    /// A file or an archive.
    File(String),
}

impl Remote {
    /// What an address means; `None` = it is none.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(repository) = Repository::parse(text) {
            return Some(Self::Repository(repository));
        }
        is_web(text).then(|| Self::File(text.to_owned()))
    }
}

fn is_web(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

impl Repository {
    /// What an address means; `None` = it is not one of a repository.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, fragment) = match text.split_once('#') {
            Some((address, fragment)) => (address, Some(fragment)),
            None => (text, None),
        };
        let (path, query) = match address.split_once('?') {
            Some((path, query)) if is_web(path) || path.starts_with("ssh://") => {
                (path, Some(query))
            }
            _ => (address, None),
        };
        let url = if path.starts_with("git://") || path.starts_with("ssh://") {
            path.to_owned()
        } else if is_web(path) {
            path.ends_with(".git").then(|| path.to_owned())?
        } else if path.starts_with("github.com/") {
            format!("https://{path}")
        } else {
            // `user@host:path`, as scp has it.
            let (user, rest) = path.split_once('@')?;
            let (host, _) = rest.split_once(':')?;
            let plain = |text: &str| {
                let part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
                !text.is_empty() && !text.starts_with('-') && text.bytes().all(part)
            };
            (plain(user) && plain(host)).then(|| path.to_owned())?
        };
        let mut found = Self {
            url,
            ..Self::default()
        };
        if let Some(fragment) = fragment {
            let (reference, directory) = fragment.split_once(':').unwrap_or((fragment, ""));
            found.reference = some(reference);
            found.directory = some(directory);
        }
        for field in query.into_iter().flat_map(|query| query.split('&')) {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            match name {
                "ref" | "branch" | "tag" => found.reference = some(value),
                "subdir" => found.directory = some(value),
                "checksum" | "commit" => found.checksum = some(value),
                _ => {}
            }
        }
        Some(found)
    }

    /// Fetches it into a directory that is there and empty; gives the commit. `keep` leaves `.git` there.
    pub fn fetch(&self, directory: &Path, keep: bool) -> Result<String, StepError> {
        for text in [&self.reference, &self.checksum].into_iter().flatten() {
            if text.starts_with('-') {
                return Err(self.failed("fetch", &format!("`{text}` is no name of a commit")));
            }
        }
        self.git(directory, &["init", "--quiet", "--template="])?;
        self.git(directory, &["remote", "add", "origin", "--", &self.url])?;
        let wanted = self
            .reference
            .as_deref()
            .or(self.checksum.as_deref())
            .unwrap_or("HEAD");
        let shallow = [
            "fetch",
            "--quiet",
            "--depth",
            "1",
            "--no-tags",
            "origin",
            "--",
            wanted,
        ];
        let mut found = "FETCH_HEAD".to_owned();
        if let Err(error) = self.git(directory, &shallow) {
            // Servers need not give commits that no name stands for, nor short names of them.
            if !wanted.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(error);
            }
            self.git(directory, &["fetch", "--quiet", "--tags", "origin"])?;
            let commit = format!("{wanted}^{{commit}}");
            let commit = self.git(directory, &["rev-parse", "--verify", &commit]);
            found = commit.map_err(|_| error)?.trim().to_owned();
        }
        self.git(directory, &["checkout", "--quiet", "--detach", &found])?;
        let commit = self
            .git(directory, &["rev-parse", "HEAD"])?
            .trim()
            .to_owned();
        if let Some(checksum) = self
            .checksum
            .as_ref()
            .filter(|checksum| !commit.starts_with(*checksum))
        {
            return Err(self.failed("fetch", &format!("its commit is {commit}, not {checksum}")));
        }
        if directory.join(".gitmodules").is_file() {
            let modules = [
                "submodule",
                "--quiet",
                "update",
                "--init",
                "--recursive",
                "--depth",
                "1",
            ];
            self.git(directory, &modules)?;
        }
        let date = self.git(directory, &["log", "-1", "--format=%ct"])?;
        let date = date.trim().parse().unwrap_or(0);
        date_all(directory, date).map_err(StepError::io("date the files of", directory))?;
        if !keep {
            let path = directory.join(".git");
            crate::image::remove_directory(&path).map_err(StepError::io("remove", &path))?;
        }
        Ok(commit)
    }

    /// The directory that is meant, of a checkout.
    pub fn within(&self, checkout: &Path) -> Result<PathBuf, StepError> {
        let Some(directory) = &self.directory else {
            return Ok(checkout.to_owned());
        };
        // A link of the repository must not lead out of it.
        let root = checkout
            .canonicalize()
            .map_err(StepError::io("find", checkout))?;
        let inside = root.join(directory.trim_start_matches('/'));
        match inside.canonicalize() {
            Ok(found) if found.starts_with(&root) && found.is_dir() => Ok(found),
            _ => Err(self.failed("use", &format!("it has no directory `{directory}`"))),
        }
    }

    fn git(&self, directory: &Path, arguments: &[&str]) -> Result<String, StepError> {
        let output = Command::new("git")
            .arg("-C")
            .arg(directory)
            // Nothing of what was fetched is run, and nobody is asked.
            .args([
                "-c",
                "core.hooksPath=/dev/null",
                "-c",
                "core.fsmonitor=false",
            ])
            .args([
                "-c",
                "protocol.ext.allow=never",
                "-c",
                "advice.detachedHead=false",
            ])
            .args(arguments)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .stdin(Stdio::null())
            .output();
        let output = match output {
            Ok(output) => output,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(self.failed("fetch", "the program `git` is not installed"));
            }
            Err(error) => return Err(StepError::io("start", Path::new("git"))(error)),
        };
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => {
                let said = String::from_utf8_lossy(&output.stderr);
                let said = said.lines().filter(|line| !line.trim().is_empty());
                let lines: Vec<&str> = said.collect();
                Err(self.failed("fetch", &lines.join("; ")))
            }
        }
    }

    fn failed(&self, verb: &str, why: &str) -> StepError {
        StepError::Value(format!(
            "cannot {verb} the repository {}: {why}",
            without_password(&self.url)
        ))
    }
}

/// Gives everything in a directory the date of its commit: the same commit is the same layer.
fn date_all(directory: &Path, seconds: i64) -> std::io::Result<()> {
    let time = rustix::fs::Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    let times = rustix::fs::Timestamps {
        last_access: time,
        last_modification: time,
    };
    let mut rest = vec![directory.to_owned()];
    while let Some(path) = rest.pop() {
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::utimensat(rustix::fs::CWD, &path, &times, flags)?;
        if std::fs::symlink_metadata(&path)?.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                rest.push(entry?.path());
            }
        }
    }
    Ok(())
}

/// An address as it may be shown.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    match host.rsplit_once('@') {
        Some((_, host)) if is_web(url) => format!("{scheme}://{host}/{path}"),
        _ => url.to_owned(),
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(directory: &Path, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .arg("-C")
            .arg(directory)
            .args(["-c", "user.name=me", "-c", "user.email=me@example.invalid"])
            .args(arguments)
            .output()
            .expect("git");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn addresses_are_understood_as_buildkit_understands_them() {
        let repository = |url: &str, reference: &str, directory: &str, checksum: &str| Repository {
            url: url.to_owned(),
            reference: some(reference),
            directory: some(directory),
            checksum: some(checksum),
        };
        let table = [
            (
                "https://a.example/r.git",
                repository("https://a.example/r.git", "", "", ""),
            ),
            (
                "https://a.example/r.git#main:sub/dir",
                repository("https://a.example/r.git", "main", "sub/dir", ""),
            ),
            (
                "https://a.example/r.git#:sub",
                repository("https://a.example/r.git", "", "sub", ""),
            ),
            (
                "https://a.example/r.git?branch=b&subdir=s&commit=abc",
                repository("https://a.example/r.git", "b", "s", "abc"),
            ),
            (
                "git@a.example:group/r.git#v1",
                repository("git@a.example:group/r.git", "v1", "", ""),
            ),
            (
                "ssh://git@a.example/r",
                repository("ssh://git@a.example/r", "", "", ""),
            ),
            (
                "git://a.example/r",
                repository("git://a.example/r", "", "", ""),
            ),
            (
                "github.com/group/r",
                repository("https://github.com/group/r", "", "", ""),
            ),
        ];
        for (text, expected) in table {
            assert_eq!(
                Remote::parse(text),
                Some(Remote::Repository(expected)),
                "{text}"
            );
        }
        let file = "https://a.example/context.tar.gz";
        assert_eq!(Remote::parse(file), Some(Remote::File(file.to_owned())));
        for text in [
            "./dir",
            "dir@x",
            "-u@host:path",
            "u@-oProxyCommand=x:path",
            "a b@c:d",
        ] {
            assert_eq!(Remote::parse(text), None, "{text}");
        }
        assert_eq!(
            without_password("https://me:secret@a.example/r.git"),
            "https://a.example/r.git"
        );
        assert_eq!(
            without_password("ssh://git@a.example/r"),
            "ssh://git@a.example/r"
        );
    }

    #[test]
    fn a_repository_is_fetched_at_a_branch_a_tag_and_a_commit() {
        let dir = tempfile::tempdir().unwrap();
        let origin = dir.path().join("origin.git");
        std::fs::create_dir(&origin).unwrap();
        git(&origin, &["init", "-q", "-b", "main"]);
        let mut commits = Vec::new();
        for content in ["one", "two"] {
            std::fs::create_dir_all(origin.join("sub")).unwrap();
            std::fs::write(origin.join("sub/file"), content).unwrap();
            std::os::unix::fs::symlink("/etc", origin.join(format!("out-{content}"))).unwrap();
            git(&origin, &["add", "."]);
            git(&origin, &["commit", "-qm", content]);
            git(&origin, &["tag", &format!("v-{content}")]);
            commits.push(git(&origin, &["rev-parse", "HEAD"]));
        }
        let fetch = |reference: Option<&str>, checksum: Option<&str>| {
            let repository = Repository {
                url: format!("file://{}", origin.display()),
                reference: reference.map(str::to_owned),
                directory: Some("sub".to_owned()),
                checksum: checksum.map(str::to_owned),
            };
            let place = tempfile::tempdir_in(dir.path()).unwrap();
            let commit = repository
                .fetch(place.path(), false)
                .map_err(|error| error.to_string())?;
            assert!(!place.path().join(".git").exists());
            let inside = repository
                .within(place.path())
                .map_err(|error| error.to_string())?;
            let escape = Repository {
                directory: Some("out-one".to_owned()),
                ..repository
            };
            assert!(escape.within(place.path()).is_err(), "a link leads out");
            Ok::<_, String>((
                commit,
                std::fs::read_to_string(inside.join("file")).unwrap(),
            ))
        };
        let (first, second) = (commits[0].as_str(), commits[1].as_str());
        for (reference, expected) in [
            (None, (second, "two")),
            (Some("main"), (second, "two")),
            (Some("v-one"), (first, "one")),
            (Some(first), (first, "one")),
            (Some(&first[..12]), (first, "one")),
        ] {
            let (commit, content) = fetch(reference, None).unwrap();
            assert_eq!(
                (commit.as_str(), content.as_str()),
                expected,
                "{reference:?}"
            );
        }
        assert!(fetch(Some("main"), Some(&second[..8])).is_ok());
        assert!(
            fetch(Some("main"), Some(first))
                .unwrap_err()
                .contains("its commit is")
        );
        assert!(
            fetch(Some("nobody"), None)
                .unwrap_err()
                .contains("cannot fetch the repository")
        );
        assert!(
            fetch(Some("--upload-pack=evil"), None)
                .unwrap_err()
                .contains("no name of a commit")
        );
    }
}
