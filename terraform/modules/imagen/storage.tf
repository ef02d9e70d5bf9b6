module "storage" {
  source = "../storage"

  project_id          = local.project_id
  region              = var.region
  retention_days      = var.retention_days
  upload_origins      = ["https://${var.domain}"]
  deletion_protection = var.deletion_protection

  image_access = {
    "roles/storage.objectUser" = {
      # Both delete all that a job has left: that takes a list of it.
      web      = { member = local.members.web }
      webhooks = { member = local.members.webhooks }
      # An output that was uploaded twice replaces itself.
      worker = { member = local.workloads.worker, prefix = "outputs/" }
    }

    "roles/storage.objectViewer" = {
      worker = { member = local.workloads.worker, prefix = "inputs/" }
    }

    # Names alone. Who may not list a bucket is told of an object that is gone what he is told of one that he may not
    # read (403): a worker would wait for its rights, again and again, where the photo has been deleted.
    "roles/storage.legacyBucketReader" = {
      worker = { member = local.workloads.worker }
    }
  }

  model_access = {
    "roles/storage.objectViewer" = { triton = local.workloads.triton }
    "roles/storage.objectUser"   = { models-fetch = local.workloads.models_fetch }
  }
}
