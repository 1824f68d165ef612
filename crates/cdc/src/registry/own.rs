//! The registry of an embedded pipeline: kept beside its log, and served.

use super::{Announcements, Announcing, Guarded, Registry, Sentinel};
use crate::{
    failure::{Failure, Outcome},
    settings::Settings,
};
use cdc_core::store::SchemaStore;
use cdc_registry::{
    embedded::{self, FileStore},
    http::Server,
};
use std::sync::Arc;
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// A registry and who listens for it.
pub(crate) struct Own {
    pub(crate) registry: Arc<embedded::Registry>,
    pub(crate) server: Option<Server>,
    /// Told when something was registered from here.
    pub(crate) announced: Arc<Notify>,
}

impl Own {
    /// Opens the registry of a pipeline and takes its port; `None` where it is turned off.
    pub(crate) async fn open(settings: &Settings) -> Outcome<Option<Self>> {
        let config = &settings.platform.file.registry;
        if !config.enabled {
            return Ok(None);
        }
        let store = FileStore::open(settings.directory.registry())?;
        let registry = Arc::new(embedded::Registry::open(Arc::new(store))?);
        let server = match Server::bind(config.listens_at()).await {
            Ok(server) => {
                tracing::info!(address = %server.address(), "the schema registry is served");
                Some(server)
            }
            Err(error) if config.port.is_some() => return Err(error.into()),
            Err(error) => {
                let remedy = "give it a port of its own in the platform file (registry.port), or turn \
                              it off (registry.enabled: false)";
                tracing::warn!(
                    problem = error.context,
                    remedy,
                    "the schema registry is not served"
                );
                None
            }
        };
        Ok(Some(Self { registry, server, announced: Arc::default() }))
    }

    /// A store of table schemas that puts them into this registry too.
    pub(crate) fn fed_by(
        &self,
        schemas: Arc<dyn SchemaStore>,
        settings: &Settings,
        sentinel: &Sentinel,
    ) -> (Arc<dyn SchemaStore>, JoinSet<()>) {
        let registry = Registry::Own(Arc::clone(&self.registry));
        let announcements = Announcements::new(
            Guarded::new(registry.of_formats(), sentinel.clone()),
            &settings.pipeline.head.topic_prefix,
            settings.platform.file.format.options(""),
            Arc::clone(&self.announced),
        );
        let (store, announcing) = Announcing::new(schemas, announcements, sentinel);
        (Arc::new(store), announcing)
    }
}

/// Resolves only when the server fails.
pub(crate) async fn serve(own: Option<Own>, cancel: CancellationToken) -> Failure {
    let Some(Own { registry, server: Some(server), .. }) = own else {
        return std::future::pending().await;
    };
    match server.serve(registry, cancel).await {
        Err(error) => error.into(),
        Ok(()) => std::future::pending().await,
    }
}
