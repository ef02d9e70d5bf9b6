mock_provider "google" {}

variables {
  project_id   = "imagen-dev"
  region       = "europe-west4"
  node_account = "imagen-nodes@imagen-dev.iam.gserviceaccount.com"
}

run "keeps_pods_from_the_database" {
  command = plan

  assert {
    condition = (
      google_compute_firewall.nodes_to_private_services.direction == "EGRESS" &&
      google_compute_firewall.nodes_to_private_services.destination_ranges == toset(["10.40.0.0/20"]) &&
      google_compute_firewall.nodes_to_private_services.deny != null
    )
    error_message = "Workers hold no SQL, so they must not reach it."
  }
}

run "reserves_what_the_firewall_keeps_pods_from" {
  command = plan

  assert {
    condition     = "${google_compute_global_address.private_services.address}/${google_compute_global_address.private_services.prefix_length}" == "10.40.0.0/20"
    error_message = "Database and firewall must speak of the same addresses."
  }
}

run "reaches_google_without_the_internet" {
  command = plan

  assert {
    condition     = google_compute_subnetwork.imagen.private_ip_google_access && google_compute_subnetwork.run.private_ip_google_access
    error_message = "Nodes have no address of the internet: without private access they reach no bucket."
  }
}

run "closes_the_way_out_when_it_is_told_to" {
  command = plan

  variables {
    internet = false
  }

  assert {
    condition     = length(google_compute_router_nat.imagen) == 0
    error_message = "With internet = false nothing translates addresses."
  }
}

run "refuses_a_range_that_begins_in_the_middle" {
  command = plan

  variables {
    ranges = { pods = "10.20.1.0/17" }
  }

  expect_failures = [var.ranges]
}

run "refuses_fewer_addresses_than_cloud_run_takes" {
  command = plan

  variables {
    ranges = { run = "10.10.8.0/28" }
  }

  expect_failures = [var.ranges]
}
