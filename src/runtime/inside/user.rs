//! Who a program runs as: `user[:group]` in the words of the image's `/etc/passwd` and `/etc/group`.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use super::root::Root;
use crate::runtime::failure::{Attempt, Context, StartError, Step};

const STEP: Step = Step::User;

/// A user with its groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    /// From `/etc/passwd`.
    pub(crate) home: Option<String>,
}

/// Who is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// `user[:group]`, names or numbers; `None` = `numbers`.
    pub(crate) user: Option<&'a str>,
    /// The spec's own.
    pub(crate) numbers: &'a oci_spec::runtime::User,
    /// Further groups, names or numbers.
    pub(crate) groups: &'a [String],
}

/// More than any real one; an image may bring anything.
const FILE_MAX: u64 = 4 * 1024 * 1024;
/// The highest number that Docker accepts.
const ID_MAX: u32 = i32::MAX as u32;

/// Looks a user up in the files of this root.
pub(crate) fn find(root: &Root, wanted: Wanted<'_>) -> Attempt<Identity> {
    let passwd = read(root, "/etc/passwd")?.unwrap_or_default();
    let group = read(root, "/etc/group")?.unwrap_or_default();
    resolve(wanted, &passwd, &group)
}

fn read(root: &Root, path: &str) -> Attempt<Option<String>> {
    // NONBLOCK: the image could have a FIFO here, and opening it would wait for ever.
    let opened = root.open(
        Path::new(path),
        OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
    );
    let file: OwnedFd = match opened {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(StartError::refused(STEP, path, error)),
    };
    let stat = rustix::fs::fstat(&file).at(STEP, path)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile
        || stat.st_size as u64 > FILE_MAX
    {
        return Err(StartError::because(
            STEP,
            path,
            "of the image is not a file of a sensible size",
        ));
    }
    let mut bytes = Vec::with_capacity(stat.st_size as usize);
    let mut limited = std::io::Read::take(std::fs::File::from(file), FILE_MAX);
    std::io::Read::read_to_end(&mut limited, &mut bytes).at(STEP, path)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// passwd(5): name:password:UID:GID:GECOS:directory:shell
fn accounts(passwd: &str) -> impl Iterator<Item = Account<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.trim().parse().ok()?;
        let gid = fields.next()?.trim().parse().ok()?;
        Some(Account {
            name,
            uid,
            gid,
            home: fields.nth(1).unwrap_or_default(),
        })
    })
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// group(5): name:password:GID:users
fn groups(group: &str) -> impl Iterator<Item = Group<'_>> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let gid = fields.nth(1)?.trim().parse().ok()?;
        Some(Group {
            name,
            gid,
            members: fields.next().unwrap_or_default(),
        })
    })
}

/// The decision, from the text of both files. As Docker: a number needs no entry and is in group
/// 0 then; an entry brings its group and those it is a member of, unless a group is named.
pub(crate) fn resolve(wanted: Wanted<'_>, passwd: &str, group: &str) -> Attempt<Identity> {
    let mut identity = match wanted.user {
        None => by_numbers(wanted.numbers, passwd),
        Some(user) => by_name(user, passwd, group)?,
    };
    for name in wanted.groups {
        identity.groups.push(find_group(name, group)?);
    }
    // Its own group is among the supplementary ones, as with Docker since CVE-2022-36109: else a program
    // that changes its group gets rid of a group that a file's mode bars.
    if wanted.user.is_some() {
        identity.groups.insert(0, identity.gid);
    }
    let mut seen = Vec::with_capacity(identity.groups.len());
    identity.groups.retain(|gid| {
        !seen.contains(gid) && {
            seen.push(*gid);
            true
        }
    });
    Ok(identity)
}

fn by_numbers(user: &oci_spec::runtime::User, passwd: &str) -> Identity {
    let home = accounts(passwd)
        .find(|a| a.uid == user.uid())
        .map(|a| a.home.to_owned());
    let groups = user.additional_gids().clone().unwrap_or_default();
    Identity {
        uid: user.uid(),
        gid: user.gid(),
        groups,
        home,
    }
}

fn by_name(text: &str, passwd: &str, group: &str) -> Attempt<Identity> {
    let (user, named_group) = match text.split_once(':') {
        Some((user, named)) => (user, Some(named).filter(|named| !named.is_empty())),
        None => (text, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    // A name made of digits is a name first, as in Docker.
    let account = accounts(passwd)
        .find(|account| account.name == user)
        .or_else(|| accounts(passwd).find(|account| user.parse() == Ok(account.uid)));
    let mut identity = match &account {
        Some(account) => Identity {
            uid: account.uid,
            gid: account.gid,
            groups: Vec::new(),
            home: Some(account.home.to_owned()),
        },
        None => Identity {
            uid: number(user, "user", "/etc/passwd")?,
            ..Identity::default()
        },
    };
    match (named_group, &account) {
        (Some(named), _) => identity.gid = find_group(named, group)?,
        (None, Some(account)) => {
            let member = |g: &Group<'_>| g.members.split(',').any(|m| m.trim() == account.name);
            identity.groups = groups(group).filter(member).map(|g| g.gid).collect();
        }
        (None, None) => {}
    }
    Ok(identity)
}

fn find_group(name: &str, group: &str) -> Attempt<u32> {
    match groups(group).find(|g| g.name == name) {
        Some(found) => Ok(found.gid),
        None => number(name, "group", "/etc/group"),
    }
}

fn number(text: &str, what: &str, file: &str) -> Attempt<u32> {
    match text.parse::<u32>() {
        Ok(id) if id <= ID_MAX => Ok(id),
        Ok(_) => Err(StartError::because(
            STEP,
            text,
            format!("the highest number of a {what} is {ID_MAX}"),
        )),
        Err(_) => Err(StartError::because(
            STEP,
            text,
            format!("no {what} `{text}` in the image's {file}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
                          # comment\n\
                          broken:x:a:b\n\
                          www:x:33:34:www:/var/www:/bin/false\n\
                          1000:x:77:78::/odd:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nwheel:x:10:root,www\nwww:x:34:\naudio:x:29:www\nnonsense\n";

    fn who(user: Option<&str>, more: &[&str]) -> Result<Identity, String> {
        let numbers = oci_spec::runtime::UserBuilder::default()
            .uid(7u32)
            .gid(8u32)
            .build()
            .unwrap();
        let more: Vec<String> = more.iter().map(|s| (*s).to_owned()).collect();
        let wanted = Wanted {
            user,
            numbers: &numbers,
            groups: &more,
        };
        resolve(wanted, PASSWD, GROUP).map_err(|e| e.to_string())
    }

    #[test]
    fn users_are_found_as_docker_finds_them() {
        type Row<'a> = (
            Option<&'a str>,
            &'a [&'a str],
            u32,
            u32,
            &'a [u32],
            Option<&'a str>,
        );
        let table: &[Row<'_>] = &[
            (None, &[], 7, 8, &[], None),
            (Some(""), &[], 0, 0, &[10], Some("/root")),
            (Some("root"), &[], 0, 0, &[10], Some("/root")),
            (Some("www"), &[], 33, 34, &[10, 29], Some("/var/www")),
            (Some("www:wheel"), &[], 33, 10, &[], Some("/var/www")),
            (
                Some("www:5"),
                &["audio", "99", "audio"],
                33,
                5,
                &[29, 99],
                Some("/var/www"),
            ),
            (Some("33"), &[], 33, 34, &[10, 29], Some("/var/www")),
            (Some("1234"), &[], 1234, 0, &[], None),
            (Some("1234:wheel"), &[], 1234, 10, &[], None),
            (Some("1000"), &[], 77, 78, &[], Some("/odd")),
            (Some("www:"), &[], 33, 34, &[10, 29], Some("/var/www")),
        ];
        for (user, more, uid, gid, groups, home) in table {
            let want = Identity {
                uid: *uid,
                gid: *gid,
                // Its own comes first.
                groups: user
                    .map(|_| *gid)
                    .into_iter()
                    .chain(groups.iter().copied())
                    .collect(),
                home: home.map(str::to_owned),
            };
            assert_eq!(who(*user, more), Ok(want), "{user:?}");
        }
    }

    #[test]
    fn who_is_missing_is_named() {
        assert!(
            who(Some("foo"), &[])
                .unwrap_err()
                .contains("no user `foo` in the image's /etc/passwd")
        );
        assert!(
            who(Some("www:foo"), &[])
                .unwrap_err()
                .contains("no group `foo` in the image's /etc/group")
        );
        assert!(who(Some("4294967295"), &[]).is_err());
        assert!(who(Some("-1"), &[]).is_err());
    }
}
