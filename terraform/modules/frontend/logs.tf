# The address of a picture is a signed link, which works for whoever has it. Load balancer and Cloud Run would write it
# to their logs, which more people read than may see the picture.

resource "google_logging_project_exclusion" "signed_links" {
  project     = var.project_id
  name        = "imagen-signed-links"
  description = "Requests whose address is a signed link."
  filter      = "resource.type=(\"http_load_balancer\" OR \"cloud_run_revision\") AND httpRequest.requestUrl:\"/files/\""
}
