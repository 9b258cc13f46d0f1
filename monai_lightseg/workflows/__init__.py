"""What ties the rooms of the package together for a user."""

from monai_lightseg.workflows.bundles import (
    bundle_folder,
    bundle_receipt,
    bundles_folder,
    copy_bundle,
    list_bundles,
    load_bundle,
)

__all__ = ["bundle_folder", "bundle_receipt", "bundles_folder", "copy_bundle", "list_bundles", "load_bundle"]
