module "identity" {
  source = "../identity"

  project_id = local.project_id
  accounts = {
    imagen-web      = "Imagen's site on Cloud Run"
    imagen-webhooks = "Imagen's webhooks on Cloud Run: pushes and the sweep"
    imagen-migrate  = "Imagen's migrations, a job of Cloud Run"
    imagen-push     = "Whose tokens Pub/Sub and Cloud Scheduler send to the webhooks"
    imagen-build    = "Cloud Build: builds, tests and deploys Imagen"
    imagen-nodes    = "The nodes of Imagen's cluster"
  }

  access = {
    imagen-web = {
      # It signs links to images, which is asked for as signBlob on itself.
      "roles/iam.serviceAccountTokenCreator" = { web = local.members.web }
      "roles/iam.serviceAccountUser"         = { build = local.members.build }
    }
    imagen-webhooks = { "roles/iam.serviceAccountUser" = { build = local.members.build } }
    imagen-migrate  = { "roles/iam.serviceAccountUser" = { build = local.members.build } }
  }
}

# Who is given access to things, by what they are. Every `access` names them by this.
locals {
  members = {
    web      = module.identity.members["imagen-web"]
    webhooks = module.identity.members["imagen-webhooks"]
    migrate  = module.identity.members["imagen-migrate"]
    push     = module.identity.members["imagen-push"]
    build    = module.identity.members["imagen-build"]
    nodes    = module.identity.members["imagen-nodes"]
  }

  # By themselves: whoever asks for one of these waits for the cluster.
  workloads = {
    worker       = module.gke.members["worker"]
    triton       = module.gke.members["triton"]
    models_fetch = module.gke.members["models-fetch"]
  }
}
