//! `--scale SERVICE=NUM`.

use indexmap::IndexMap;

use crate::cli::error::{Error, Result};
use crate::compose::model::{ServiceName, Stack};

/// Reads `--scale SERVICE=NUM`.
pub(in crate::cli) fn scale(texts: &[String], stack: &Stack) -> Result<IndexMap<ServiceName, u32>> {
    let mut scale = IndexMap::new();
    for text in texts {
        let parsed = text
            .split_once('=')
            .and_then(|(name, number)| Some((name, number.parse::<u32>().ok()?)));
        let Some((name, number)) = parsed else {
            return Err(Error::new(format!(
                "invalid --scale option \"{text}\". Should be SERVICE=NUM"
            ))
            .hint("the number is 0 or more, for example `--scale web=3`"));
        };
        let Some((name, service)) = stack.services.get_key_value(name) else {
            return Err(Error::new(format!("no such service: {name}: not found"))
                .hint(format!("it is named by `--scale {text}`")));
        };
        if let Some(own) = service.container_name.as_ref().filter(|_| number > 1) {
            return Err(Error::new(format!(
                "WARNING: The \"{name}\" service is using the custom container name \"{own}\". \
                 Docker requires each container to have a unique name. \
                 Remove the custom name to scale the service"
            )));
        }
        scale.insert(name.clone(), number);
    }
    Ok(scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::model::{ProjectName, Service};

    fn stack() -> Stack {
        let mut services = IndexMap::new();
        services.insert(ServiceName::new("web"), Service::default());
        let named = Service {
            container_name: Some("the-db".to_owned()),
            ..Service::default()
        };
        services.insert(ServiceName::new("db"), named);
        Stack {
            services,
            ..Stack::new(ProjectName::new("shop"), "/shop")
        }
    }

    #[test]
    fn scale_is_a_service_and_a_number() {
        let good = scale(&["web=3".to_owned(), "db=1".to_owned()], &stack()).unwrap();
        assert_eq!(good.values().copied().collect::<Vec<_>>(), [3, 1]);
        for (text, word) in [
            ("web", "invalid --scale option"),
            ("web=-1", "invalid --scale option"),
            ("web=x", "invalid --scale option"),
            ("wep=2", "no such service: wep"),
            ("db=2", "custom container name"),
        ] {
            let error = scale(&[text.to_owned()], &stack()).unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
