//! The last steps: from a process inside the container to the user's program.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::OwnedFd;

use oci_spec::runtime::{PosixRlimit, PosixRlimitType, Process};
use rustix::fs::{Gid, Mode, Uid};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};

use super::terminal::{self, Streams};
use super::user::Identity;
use crate::runtime::capabilities::Sets;
use crate::runtime::container::Init;
use crate::runtime::failure::{Absent, Attempt, Context, StartError, Step};
use crate::runtime::init::INIT_PATH;
use crate::runtime::seccomp::Filter;
use crate::sys::title::Title;
use crate::sys::{clone, descriptors, execve, seccomp, signals};

/// Where a program is looked for without a `PATH`: Docker's.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program that is about to run.
pub(crate) struct Program<'a> {
    pub(crate) process: &'a Process,
    pub(crate) identity: Identity,
    pub(crate) streams: Streams,
    pub(crate) filter: Option<Filter>,
    /// The built-in init, and where it shows its command line.
    pub(crate) init: Option<(Init, Option<Title>)>,
}

impl Program<'_> {
    /// Streams and limits: what can fail before anybody is told that the container is ready.
    pub(crate) fn prepare(&self) -> Attempt<()> {
        terminal::install(&self.streams, self.identity.uid)?;
        let umask = self.process.user().umask().unwrap_or(0o022);
        rustix::process::umask(Mode::from_raw_mode(umask & 0o777));
        self.process
            .rlimits()
            .iter()
            .flatten()
            .try_for_each(set_limit)
    }

    /// Gives up what the program is not to have, and executes it. The line to the parent closes
    /// when that succeeds.
    pub(crate) fn run(&self) -> Attempt<Infallible> {
        let no_new_privileges = self.process.no_new_privileges().unwrap_or(false);
        // Without no_new_privs a filter needs CAP_SYS_ADMIN, so it comes first then.
        if !no_new_privileges {
            self.install_filter()?;
        }
        let early = rustix::process::chdir(self.process.cwd().as_path());
        let sets = Sets::from_spec(self.process.capabilities().as_ref());
        self.become_user(&sets)?;
        self.enter_working_directory(early)?;
        if no_new_privileges {
            rustix::thread::set_no_new_privs(true).at(Step::Capabilities, "no_new_privs")?;
            self.install_filter()?;
        }
        // After the change of user, which clears it: the container ends with its shim.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).at(Step::Exec, "")?;
        if let Some(init) = self.init {
            let args = self.process.args().as_deref();
            fork_program(init, args.unwrap_or_default())?;
        }
        self.execute()
    }

    fn install_filter(&self) -> Attempt<()> {
        let Some(filter) = &self.filter else {
            return Ok(());
        };
        seccomp::install(&filter.program, filter.flags).at(Step::Seccomp, "")
    }

    fn become_user(&self, sets: &Sets) -> Attempt<()> {
        sets.limit()?;
        let who = &self.identity;
        let groups: Vec<Gid> = who.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        // Changing to another user takes the capabilities away, unless they are kept.
        rustix::thread::set_keep_capabilities(true).at(Step::Capabilities, "keepcaps")?;
        rustix::thread::set_thread_groups(&groups).at(Step::User, "supplementary groups")?;
        let gid = Gid::from_raw(who.gid);
        rustix::thread::set_thread_res_gid(gid, gid, gid).at(Step::User, "group")?;
        let uid = Uid::from_raw(who.uid);
        rustix::thread::set_thread_res_uid(uid, uid, uid).at(Step::User, "user")?;
        rustix::thread::set_keep_capabilities(false).at(Step::Capabilities, "keepcaps")?;
        sets.apply()
    }

    /// A directory that only the user may enter is entered as the user, any other as root (a user may
    /// be put where it cannot go by itself, as in Docker).
    fn enter_working_directory(&self, early: rustix::io::Result<()>) -> Attempt<()> {
        let cwd = self.process.cwd().as_path();
        if early.is_err() {
            rustix::process::chdir(cwd).at(Step::WorkingDirectory, cwd)?;
        }
        // CVE-2024-21626: a directory outside the root can be reached through a descriptor that
        // leaked; the kernel says "(unreachable)" then.
        let here = rustix::process::getcwd(Vec::new()).at(Step::WorkingDirectory, cwd)?;
        if here.as_bytes().first() == Some(&b'/') {
            return Ok(());
        }
        let detail = "lies outside the container's root file system";
        Err(StartError::because(
            Step::WorkingDirectory,
            cwd.display().to_string(),
            detail,
        ))
    }

    fn execute(&self) -> Attempt<Infallible> {
        let args = self.process.args().as_deref().unwrap_or_default();
        let Some(program) = args.first().filter(|program| !program.is_empty()) else {
            return Err(StartError::because(
                Step::Spec,
                "process.args",
                "there is no program to run",
            ));
        };
        let environment = self.environment();
        let path = environment
            .iter()
            .rev()
            .find_map(|entry| entry.strip_prefix("PATH="));
        let path = path.unwrap_or(DEFAULT_PATH).to_owned();
        let args = strings(args)?;
        let environment = strings(&environment)?;
        if program.contains('/') {
            let error = execve::execve(&args[0], &args, &environment);
            return Err(explain(program, error));
        }
        search(program, &path, |candidate| {
            execve::execve(candidate, &args, &environment)
        })
    }

    /// The spec's environment, with a home.
    fn environment(&self) -> Vec<String> {
        let mut environment = self.process.env().clone().unwrap_or_default();
        if !environment.iter().any(|entry| entry.starts_with("HOME=")) {
            let home = self
                .identity
                .home
                .as_deref()
                .filter(|home| !home.is_empty())
                .unwrap_or("/");
            environment.push(format!("HOME={home}"));
        }
        environment
    }
}

/// Closes every descriptor but the standard streams and the line to the parent: from here on no path
/// of the image can lead anywhere through `/proc/self/fd` (CVE-2024-21626).
pub(crate) fn isolate(channel: OwnedFd) -> Attempt<OwnedFd> {
    descriptors::keep_only(channel).at(Step::Exec, "")
}

/// Leaves PID 1 behind as the built-in init; who returns is the new process.
fn fork_program((init, title): (Init, Option<Title>), args: &[String]) -> Attempt<()> {
    signals::block_all().at(Step::Exec, "signals")?;
    let Some(program) = clone::fork().at(Step::Namespaces, "fork")? else {
        (init.prepare_program)();
        signals::reset().at(Step::Exec, "signals")?;
        return Ok(());
    };
    // CVE-2019-5736: `/proc/1/exe` is our own program. Who is not dumpable shows it only to those
    // with CAP_SYS_PTRACE, and `sealed` sees to it that it cannot be written through it even then.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // Until now it shows that of a shim, with a path of the host.
    if let Some(title) = title {
        let args = args.iter().map(String::as_str);
        title.show([INIT_PATH, "--"].into_iter().chain(args));
    }
    // The program's streams end with the program; the line to the parent with its exec.
    let _ = descriptors::close_from(0);
    (init.supervise)(program)
}

/// As execvp(3): the first that is there and may be executed.
fn search(
    program: &str,
    path: &str,
    mut execute: impl FnMut(&std::ffi::CStr) -> std::io::Error,
) -> Attempt<Infallible> {
    let mut denied = None;
    // A relative directory in PATH is no place to find programs in (Go's and Docker's rule).
    for directory in path
        .split(':')
        .filter(|directory| directory.starts_with('/'))
    {
        let candidate = CString::new(format!("{}/{program}", directory.trim_end_matches('/')));
        let Ok(candidate) = candidate else { continue };
        let error = execute(&candidate);
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG | libc::ELOOP) => {
                if exists(&candidate) {
                    return Err(explain(&candidate.to_string_lossy(), error));
                }
            }
            Some(libc::EACCES) => denied = Some(error),
            _ => return Err(explain(&candidate.to_string_lossy(), error)),
        }
    }
    Err(match denied {
        Some(error) => StartError::exec(program, error),
        None => StartError::NotFound {
            program: program.to_owned(),
            absent: Absent::InPath(path.to_owned()),
        },
    })
}

fn exists(candidate: &std::ffi::CStr) -> bool {
    rustix::fs::stat(candidate).is_ok()
}

/// A file that is there and "does not exist" lacks its interpreter, or its dynamic loader.
fn explain(program: &str, error: std::io::Error) -> StartError {
    let there = error.raw_os_error() == Some(libc::ENOENT) && rustix::fs::stat(program).is_ok();
    if there {
        return StartError::NotFound {
            program: program.to_owned(),
            absent: Absent::Interpreter,
        };
    }
    StartError::exec(program, error)
}

fn strings(list: &[String]) -> Attempt<Vec<CString>> {
    let convert = |text: &String| {
        CString::new(text.as_bytes()).map_err(|_| {
            StartError::because(
                Step::Spec,
                text.replace('\0', "\\0"),
                "contains a zero byte",
            )
        })
    };
    list.iter().map(convert).collect()
}

fn set_limit(limit: &PosixRlimit) -> Attempt<()> {
    let value = |n: u64| (n != u64::MAX).then_some(n);
    let new = Rlimit {
        current: value(limit.soft()),
        maximum: value(limit.hard()),
    };
    let name = limit.typ().to_string();
    match rustix::process::setrlimit(resource(limit.typ()), new) {
        Err(Errno::PERM) => {
            let hard = rustix::process::getrlimit(resource(limit.typ())).maximum;
            let hard = hard.map_or("unlimited".to_owned(), |n| n.to_string());
            let detail = format!(
                "the hard limit of the calling process is {hard}, and raising it needs CAP_SYS_RESOURCE"
            );
            Err(StartError::because(Step::Limits, name, detail))
        }
        other => other.at(Step::Limits, name.as_str()),
    }
}

fn resource(typ: PosixRlimitType) -> Resource {
    match typ {
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitStack => Resource::Stack,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
    }
}
