mock_provider "google" {}

variables {
  project_id = "imagen-dev"
  region     = "europe-west4"
  domain     = "dev.imagen.example"
  service    = "web"
}

run "keeps_static_files_on_the_way_and_nothing_else" {
  command = apply

  assert {
    condition = (
      google_compute_backend_service.static.enable_cdn &&
      google_compute_backend_service.static.cdn_policy[0].cache_mode == "USE_ORIGIN_HEADERS" &&
      !google_compute_backend_service.web.enable_cdn
    )
    error_message = "A page or a result that is kept is somebody else's picture."
  }

  assert {
    condition = (
      [for rule in google_compute_url_map.https.path_matcher[0].route_rules : rule.match_rules[0].prefix_match
      if rule.service == google_compute_backend_service.static.id] == ["/static/"] &&
      google_compute_url_map.https.path_matcher[0].default_service == google_compute_backend_service.web.id
    )
    error_message = "STATIC_URL."
  }
}

run "sends_to_a_candidate_only_whoever_names_it" {
  command = apply

  assert {
    condition = [
      for rule in google_compute_url_map.https.path_matcher[0].route_rules : rule.match_rules[0].header_matches[0].exact_match
      if rule.service == google_compute_backend_service.candidate.id
    ] == ["candidate"]
    error_message = "A revision that nobody has tried is for the smoke test alone."
  }

  assert {
    condition = (
      google_compute_region_network_endpoint_group.candidate.cloud_run[0].tag == "candidate" &&
      google_compute_backend_service.candidate.security_policy == google_compute_security_policy.this.id &&
      !google_compute_backend_service.candidate.enable_cdn
    )
    error_message = "What is tried must be behind the same door."
  }
}

run "sends_everybody_to_https_and_has_browsers_remember" {
  command = plan

  assert {
    condition = (
      google_compute_url_map.http.default_url_redirect[0].https_redirect &&
      google_compute_global_forwarding_rule.http.port_range == "80" &&
      contains(google_compute_backend_service.web.custom_response_headers, "Strict-Transport-Security: max-age=31536000")
    )
    error_message = "A session cookie that goes in the clear is lost."
  }

  assert {
    condition     = google_compute_ssl_policy.this.min_tls_version == "TLS_1_2"
    error_message = "Older ones are broken."
  }
}

run "looks_for_no_attack_in_a_photo" {
  command = plan

  assert {
    condition = alltrue([
      for rule in google_compute_security_policy.this.rule :
      strcontains(one(rule.match).expr[0].expression, "!(request.path.startsWith('/submit/') || request.path.startsWith('/api/v1/images/'))")
      if startswith(rule.description, "Attacks")
    ])
    error_message = "Thirty megabytes of noise have everything in them."
  }
}

run "asks_for_attacks_before_it_counts" {
  command = plan

  assert {
    condition = (
      max([for rule in google_compute_security_policy.this.rule : rule.priority if rule.action == "deny(403)"]...) <
      min([for rule in google_compute_security_policy.this.rule : rule.priority if rule.action == "throttle"]...)
    )
    error_message = "A rule that counts lets in, and asks no further."
  }
}

run "refuses_attacks_when_it_is_told_to" {
  command = plan

  variables {
    attacks_only_logged = false
  }

  assert {
    condition     = !anytrue([for rule in google_compute_security_policy.this.rule : rule.preview == true])
    error_message = "In preview it only writes to its log."
  }
}

run "logs_no_link_that_works_for_whoever_reads_it" {
  command = plan

  assert {
    condition     = strcontains(google_logging_project_exclusion.signed_links.filter, "httpRequest.requestUrl:\"/files/\"")
    error_message = "jobs/urls.py: files/<signed>."
  }
}

run "refuses_to_lock_an_office_out" {
  command = plan

  variables {
    requests_per_minute = 100
    sign_ins_per_minute = 1
  }

  expect_failures = [var.requests_per_minute, var.sign_ins_per_minute]
}

run "refuses_to_look_away" {
  command = plan

  variables {
    log_sample_rate = 0
  }

  expect_failures = [var.log_sample_rate]
}
