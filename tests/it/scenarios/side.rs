//! Who answers: `stack`, or Docker Compose with its engine.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::Scenario;
use super::normal::Run;
use super::script;
use crate::harness::Stack;

/// A place where the commands of a scenario are run, with its programs.
pub(super) struct Stage {
    kind: Kind,
    project: String,
    dir: PathBuf,
    home: TempDir,
    suffix: String,
}

enum Kind {
    /// With a network of its own; looks for what is left behind at its end.
    Ours(Box<Stack>),
    /// On an engine that others use, too.
    Docker { _dir: TempDir },
}

impl Stage {
    /// For `stack`; `None` where tests with containers cannot run.
    pub(super) fn ours(scenario: &Scenario) -> Option<Self> {
        let suffix = suffix();
        let project = format!("{}-{suffix}", scenario.name);
        let text = scenario.read("scenario").unwrap_or_default();
        let stack = Stack::for_scenario(&project, &script::needs(&text))?;
        let dir = stack.dir().to_owned();
        let stage = Self::new(Kind::Ours(Box::new(stack)), (project, suffix), dir);
        symlink(env!("CARGO_BIN_EXE_stack"), stage.bin("docker-compose")).expect("a link");
        // `docker compose …` and `docker inspect …`.
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = compose ]; then shift; fi\nexec {} \"$@\"\n",
            env!("CARGO_BIN_EXE_stack")
        );
        stage.program("docker", &script);
        copy(&scenario.dir, &stage.dir);
        Some(stage)
    }

    /// For Docker Compose, which is found as `generate.sh` says.
    pub(super) fn docker(scenario: &Scenario) -> Self {
        let suffix = suffix();
        let project = format!("{}-{suffix}", scenario.name);
        let outer = tempfile::Builder::new().prefix("stk").tempdir();
        let outer = outer.expect("a temporary directory");
        let dir = outer.path().join(&project);
        fs::create_dir(&dir).expect("a directory");
        let stage = Self::new(Kind::Docker { _dir: outer }, (project, suffix), dir);
        let compose = std::env::var("DOCKER_COMPOSE").expect("DOCKER_COMPOSE names the program");
        let docker = std::env::var("DOCKER").expect("DOCKER names the program");
        symlink(&compose, stage.bin("docker-compose")).expect("a link");
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = compose ]; then shift; exec {compose} \"$@\"; fi\nexec {docker} \"$@\"\n"
        );
        stage.program("docker", &script);
        copy(&scenario.dir, &stage.dir);
        stage
    }

    fn new(kind: Kind, (project, suffix): (String, String), dir: PathBuf) -> Self {
        let home = tempfile::Builder::new().prefix("home").tempdir();
        let stage = Self {
            kind,
            project,
            dir,
            home: home.expect("a temporary directory"),
            suffix,
        };
        fs::create_dir(stage.home.path().join("bin")).expect("a directory");
        stage
    }

    fn bin(&self, name: &str) -> PathBuf {
        self.home.path().join("bin").join(name)
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.bin(name);
        fs::write(&path, script).expect("a file");
        fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("a mode");
    }

    /// What is to be taken out of answers.
    pub(super) fn run(&self) -> Run {
        Run {
            dir: self.dir.to_string_lossy().into_owned(),
            home: self.home.path().to_string_lossy().into_owned(),
            suffix: self.suffix.clone(),
        }
    }

    /// The project that the directory's name makes.
    pub(super) fn project(&self) -> &str {
        &self.project
    }

    /// A shell command in the scenario's directory; not started.
    pub(super) fn shell(&self, line: &str) -> Command {
        let mut path = vec![self.home.path().join("bin")];
        path.extend(std::env::split_paths(
            &std::env::var_os("PATH").unwrap_or_default(),
        ));
        let mut command = Command::new("sh");
        command
            .args(["-c", line])
            .current_dir(&self.dir)
            .env_clear()
            .env("PATH", std::env::join_paths(path).expect("a path"))
            .env("HOME", self.home.path())
            .env("TZ", "UTC")
            // The whole name of the project, for names that contain it.
            .env("P", &self.project);
        match &self.kind {
            Kind::Ours(stack) => command.env("STACK_ROOT", stack.root()),
            Kind::Docker { .. } => {
                let host = std::env::var_os("DOCKER_HOST").expect("DOCKER_HOST names the engine");
                command.env("DOCKER_HOST", host)
            }
        };
        command
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Kind::Docker { .. } = self.kind {
            // Whatever the scenario has made under names that begin with its own.
            let script = format!(
                "docker ps -aq --filter name=$P --filter label=com.docker.compose.project=$P | xargs -r docker rm -fv
                 docker ps -aq --filter name={0} | xargs -r docker rm -fv
                 docker network ls -q --filter name={0} | xargs -r docker network rm
                 docker volume ls -q --filter name={0} | xargs -r docker volume rm
                 docker images -q --filter reference=\"*{0}*\" | xargs -r docker rmi -f",
                self.suffix
            );
            let _ = self.shell(&script).output();
        }
    }
}

/// Letters that make no word, so that they are found in every output and nothing else is.
fn suffix() -> String {
    const LETTERS: &[u8] = b"bcdfghjkmnpqrstvwz";
    (0..5)
        .map(|_| char::from(LETTERS[fastrand::usize(..LETTERS.len())]))
        .collect()
}

/// The files of a scenario, without those that say what to do and what is expected.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a directory").flatten() {
        let (from, name) = (entry.path(), entry.file_name());
        if ["scenario", "expected", "ours"]
            .iter()
            .any(|own| name == *own)
        {
            continue;
        }
        let to = to.join(name);
        if from.is_dir() {
            fs::create_dir_all(&to).expect("a directory");
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).expect("a copy");
        }
    }
}
