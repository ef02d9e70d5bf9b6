module "gke" {
  source = "../gke"

  project_id          = local.project_id
  project_number      = var.project_number
  region              = var.region
  network             = module.network.network
  subnet              = module.network.cluster_subnet
  node_account        = module.identity.emails["imagen-nodes"]
  deletion_protection = var.deletion_protection
  workloads = {
    worker       = { namespace = "imagen" }
    triton       = { namespace = "imagen" }
    models-fetch = { namespace = "imagen" }
    # Reads the numbers that the autoscalers go by.
    custom-metrics-stackdriver-adapter = { namespace = "custom-metrics", roles = ["roles/monitoring.viewer"] }
  }

  # The nodes' own rights among them: without these the first nodes bring no logs and no metrics.
  depends_on = [module.project]
}
