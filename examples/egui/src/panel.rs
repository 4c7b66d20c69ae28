//! The panel: how the layer learns, and its filters, of which each may be told to begin anew.

use crate::learning::{PICTURE, SIDE, WINDOW};

/// What a user has asked for in a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Wish {
    Forget([u32; 2]),
    ForgetAll,
}

pub(crate) struct Panel {
    pub(crate) learns: bool,
    pub(crate) rate: f32,
    pub(crate) steps: u32,
    filters: egui::TextureId,
    /// Where the widgets were in the last frame, for whoever moves a pointer without a hand.
    pub(crate) places: Places,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    pub(crate) learns: egui::Rect,
    pub(crate) forget_all: egui::Rect,
    pub(crate) filters: egui::Rect,
}

impl Panel {
    pub(crate) fn new(filters: egui::TextureId) -> Self {
        let nowhere = egui::Rect::NOTHING;
        let places = Places { learns: nowhere, forget_all: nowhere, filters: nowhere };
        Self { learns: true, rate: 0.15, steps: 0, filters, places }
    }

    /// The place of a location's filter.
    pub(crate) fn filter(&self, [row, column]: [u32; 2]) -> egui::Pos2 {
        let filters = self.places.filters;
        let along = |at: u32, length: f32| (at as f32 + 0.5) / SIDE as f32 * length;
        filters.min + egui::vec2(along(column, filters.width()), along(row, filters.height()))
    }

    pub(crate) fn show(&mut self, ui: &mut egui::Ui) -> Option<Wish> {
        let mut wish = None;
        egui::Panel::left("learning").show(ui, |ui| {
            ui.heading("Locally connected");
            ui.label(format!("{SIDE} × {SIDE} locations, a filter of {WINDOW} × {WINDOW} each"));
            ui.separator();
            self.places.learns = ui.checkbox(&mut self.learns, "learns").rect;
            ui.add(egui::Slider::new(&mut self.rate, 0.0..=0.25).text("rate"));
            ui.label(format!("{} steps", self.steps));
            let forget = ui.button("Forget all");
            self.places.forget_all = forget.rect;
            if forget.clicked() {
                wish = Some(Wish::ForgetAll);
            }
            ui.separator();
            ui.label("Warm weights are positive, cold ones negative.\nClick a filter to let it begin anew.");
        });
        egui::CentralPanel::default().show(ui, |ui| {
            let size = egui::vec2(PICTURE as f32, PICTURE as f32);
            let texture = egui::load::SizedTexture::new(self.filters, size);
            let image = ui.add(egui::Image::new(texture).sense(egui::Sense::click()));
            self.places.filters = image.rect;
            let location = |at: egui::Pos2| {
                let share = (at - image.rect.min) / image.rect.size();
                [share.y, share.x].map(|share| ((share * SIDE as f32) as u32).min(SIDE - 1))
            };
            if let Some(at) = image.interact_pointer_pos().filter(|_| image.clicked()) {
                wish = Some(Wish::Forget(location(at)));
            }
            match image.hover_pos().map(location) {
                Some([row, column]) => ui.label(format!("row {row}, column {column}")),
                None => ui.label("every location has a filter of its own"),
            };
        });
        wish
    }
}
