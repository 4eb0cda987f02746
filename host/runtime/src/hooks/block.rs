//! Converts blocks between the contract's type and the server's own.

use crate::bindings::types;
use alert_manager_core::alert::Block;

/// Returns a block as the contract's type.
pub(super) fn to_contract(block: &Block) -> types::Block {
    match block.clone() {
        Block::Markdown { text } => types::Block::Markdown(text),
        Block::Fields { fields } => types::Block::Fields(fields),
        Block::Table {
            title,
            header,
            rows,
        } => types::Block::Table(types::Table {
            title,
            header,
            rows,
        }),
        Block::Excerpt { title, text } => types::Block::Excerpt(types::Excerpt { title, text }),
        Block::Link { title, url } => types::Block::Link(types::Link { title, url }),
        Block::Image {
            title,
            media_type,
            data,
        } => types::Block::Image(types::Image {
            title,
            media_type,
            data,
        }),
        Block::Custom {
            name,
            fallback,
            data,
        } => types::Block::Custom(types::Custom {
            kind: name,
            fallback,
            data,
        }),
    }
}

/// Returns a guest's block as the server's type, unchecked.
pub(super) fn from_contract(block: types::Block) -> Block {
    match block {
        types::Block::Markdown(text) => Block::Markdown { text },
        types::Block::Fields(fields) => Block::Fields { fields },
        types::Block::Table(types::Table {
            title,
            header,
            rows,
        }) => Block::Table {
            title,
            header,
            rows,
        },
        types::Block::Excerpt(types::Excerpt { title, text }) => Block::Excerpt { title, text },
        types::Block::Link(types::Link { title, url }) => Block::Link { title, url },
        types::Block::Image(types::Image {
            title,
            media_type,
            data,
        }) => Block::Image {
            title,
            media_type,
            data,
        },
        types::Block::Custom(types::Custom {
            kind,
            fallback,
            data,
        }) => Block::Custom {
            name: kind,
            fallback,
            data,
        },
    }
}
