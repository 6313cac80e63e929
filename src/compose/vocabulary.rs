//! Values that are words of a small language: signals, capabilities, limits, names on the network.
//!
//! What they name ends in paths, command lines and lines of files further down, so nothing that could
//! mean more than a name there gets past here.

use super::diagnostic::{Diagnostic, Problems, suggestion};
use super::tree::{Map, Node};

const SIGNALS: [&str; 35] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "IOT", "BUS", "FPE", "KILL", "USR1", "SEGV",
    "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CLD", "CONT", "STOP", "TSTP", "TTIN",
    "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "POLL", "PWR", "SYS", "UNUSED",
];

const CAPABILITIES: [&str; 42] = [
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

const ULIMITS: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Checks the words of one service.
pub(super) fn check_service(node: &Node, problems: &mut Problems) {
    container_name(node, problems);
    capabilities(node, problems);
    for key in ["hostname", "domainname"] {
        if let Some(name) = node.get(key) {
            word(name, "host name", problems);
        }
    }
    for key in ["dns_search", "dns_opt"] {
        for item in items(node, key) {
            word(item, "word of a resolver's configuration", problems);
        }
    }
    for profile in items(node, "profiles") {
        let text = profile.as_text().unwrap_or_default();
        if !is_name(text) {
            problems.error(profile.span, format!("`{text}` is not a profile's name"));
        }
    }
    if let Some(signal) = node.get("stop_signal") {
        stop_signal(signal, problems);
    }
    for (name, entry) in map(node, "ulimits") {
        if !ULIMITS.contains(&name.as_str()) {
            let diagnostic = problems.error(entry.key, format!("there is no limit `{name}`"));
            did_you_mean(diagnostic, name, &ULIMITS);
        }
    }
    for (name, entry) in map(node, "sysctls") {
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/');
        if name.is_empty() || !name.chars().all(valid) || name.contains("..") {
            problems.error(entry.key, format!("`{name}` is not a kernel parameter"));
        }
    }
    for (label, entry) in map(node, "labels") {
        if label.starts_with("com.docker.compose.") {
            problems
                .warn(entry.key, format!("the label `{label}` is reserved"))
                .label("will be overwritten");
        }
    }
    for (variable, entry) in map(node, "environment") {
        if variable.is_empty() || variable.contains(['=', '\0']) {
            problems.error(
                entry.key,
                format!("`{variable}` cannot be the name of a variable"),
            );
        }
    }
    for (_, entry) in map(node, "networks") {
        attachment(&entry.node, problems);
    }
    if let Some(address) = node.get("mac_address") {
        mac_address(address, problems);
    }
}

/// Checks the full names of networks and volumes: they become names of directories.
pub(super) fn check_full_name(node: &Node, what: &str, problems: &mut Problems) {
    let Some(name) = node.get("name") else {
        return;
    };
    let text = name.as_text().unwrap_or_default();
    if !is_name(text) || text.len() > 255 {
        problems
            .error(
                name.span,
                format!("`{text}` cannot be the name of a {what}"),
            )
            .help(
                "a name has letters, digits, `_`, `.` and `-`, and starts with a letter or digit",
            );
    }
}

/// `[a-zA-Z0-9][a-zA-Z0-9_.-]*`
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

fn items<'a>(node: &'a Node, key: &str) -> &'a [Node] {
    node.get(key).and_then(Node::as_list).unwrap_or_default()
}

fn map<'a>(node: &'a Node, key: &str) -> <&'a Map as IntoIterator>::IntoIter {
    static EMPTY: std::sync::LazyLock<Map> = std::sync::LazyLock::new(Map::default);
    node.get(key)
        .and_then(Node::as_map)
        .unwrap_or(&EMPTY)
        .iter()
}

fn did_you_mean(diagnostic: &mut Diagnostic, word: &str, known: &[&str]) {
    let lower: Vec<String> = known.iter().map(|word| word.to_lowercase()).collect();
    if let Some(meant) = suggestion(word, lower.iter().map(String::as_str)) {
        let at = lower.iter().position(|word| word == meant);
        let meant = at.and_then(|at| known.get(at)).copied().unwrap_or(meant);
        diagnostic.help(format!("did you mean `{meant}`?"));
    }
}

/// A text that stands alone on a line or between spaces.
fn word(node: &Node, what: &str, problems: &mut Problems) {
    let text = node.as_text().unwrap_or_default();
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/') {
        problems.error(node.span, format!("`{text}` is not a {what}"));
    }
}

fn container_name(node: &Node, problems: &mut Problems) {
    let Some(name) = node.get("container_name") else {
        return;
    };
    let text = name.as_text().unwrap_or_default();
    if !is_name(text) || !(2..=128).contains(&text.len()) {
        problems
            .error(name.span, format!("`{text}` is not a container's name"))
            .help(
                "a name has letters, digits, `_`, `.` and `-`, and starts with a letter or digit",
            );
    }
}

fn capabilities(node: &Node, problems: &mut Problems) {
    for item in items(node, "cap_add").iter().chain(items(node, "cap_drop")) {
        let text = item.as_text().unwrap_or_default();
        let upper = text.to_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if !CAPABILITIES.contains(&name) {
            let diagnostic = problems.error(item.span, format!("there is no capability `{text}`"));
            did_you_mean(diagnostic, name, &CAPABILITIES);
        }
    }
}

fn stop_signal(node: &Node, problems: &mut Problems) {
    let text = node.as_text().unwrap_or_default();
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let number = text
        .parse::<u8>()
        .is_ok_and(|number| (1..=64).contains(&number));
    // `SIGRTMIN+3` is what systemd is asked to stop with.
    let real_time = name
        .strip_prefix("RTMIN")
        .or_else(|| name.strip_prefix("RTMAX"));
    let real_time = real_time.is_some_and(|offset| {
        offset.is_empty()
            || offset
                .strip_prefix(['+', '-'])
                .and_then(|offset| offset.parse::<u8>().ok())
                .is_some_and(|offset| offset <= 30)
    });
    if !text.is_empty() && !number && !real_time && !SIGNALS.contains(&name) {
        let diagnostic = problems.error(node.span, format!("there is no signal `{text}`"));
        did_you_mean(diagnostic, name, &SIGNALS);
    }
}

fn attachment(node: &Node, problems: &mut Problems) {
    for alias in items(node, "aliases") {
        word(alias, "host name", problems);
    }
    if let Some(name) = node.get("interface_name") {
        let text = name.as_text().unwrap_or_default();
        // IFNAMSIZ of the kernel, with the byte that ends the name; dev_valid_name() has the rest.
        let valid = !matches!(text, "" | "." | "..")
            && text.len() < 16
            && !text
                .contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':'));
        if !valid {
            problems
                .error(
                    name.span,
                    format!("`{text}` cannot be the name of an interface"),
                )
                .help("a name has at most 15 characters, and no space, `/` or `:`");
        }
    }
    if let Some(address) = node.get("mac_address") {
        mac_address(address, problems);
    }
}

fn mac_address(node: &Node, problems: &mut Problems) {
    let text = node.as_text().unwrap_or_default();
    let octets: Vec<Option<u8>> = text
        .split([':', '-'])
        .map(|octet| match octet.len() {
            2 => u8::from_str_radix(octet, 16).ok(),
            _ => None,
        })
        .collect();
    let first = octets.first().copied().flatten();
    // The lowest bit of the first octet makes an address one of a group, which no interface can have.
    let unicast = first.is_some_and(|octet| octet & 1 == 0);
    if octets.len() != 6 || octets.contains(&None) || !unicast {
        problems
            .error(
                node.span,
                format!("`{text}` is not an interface's hardware address"),
            )
            .help("it is written like `02:42:ac:11:00:02`");
    }
}
