# Cloud Armor: what is stopped before it costs an instance anything. Accounts have limits of their own in the site.

locals {
  attacks = ["sqli", "xss", "lfi", "rfi", "rce", "protocolattack", "scannerdetection", "sessionfixation"]
  # A photo is bytes of any kind, and looks like an attack now and then; the site reads its header before anything else.
  photos = "request.path.startsWith('/submit/') || request.path.startsWith('/api/v1/images/')"
}

resource "google_compute_security_policy" "this" {
  project = var.project_id
  name    = "imagen"
  type    = "CLOUD_ARMOR"

  advanced_options_config {
    json_parsing                 = "STANDARD"
    request_body_inspection_size = "8KB"
    log_level                    = "NORMAL"
  }

  adaptive_protection_config {
    layer_7_ddos_defense_config {
      enable          = true
      rule_visibility = "STANDARD"
    }
  }

  # First, for a rule that counts ends the questions: who is within its rate is let in by it.
  dynamic "rule" {
    for_each = local.attacks

    content {
      priority    = 1000 + rule.key
      description = "Attacks of the kind ${rule.value}, but not in photos."
      action      = "deny(403)"
      preview     = var.attacks_only_logged

      match {
        expr {
          expression = "!(${local.photos}) && evaluatePreconfiguredWaf('${rule.value}-v33-stable', {'sensitivity': 1})"
        }
      }
    }
  }

  rule {
    priority    = 2000
    description = "Who guesses passwords; the site counts by account too."
    action      = "throttle"

    match {
      expr {
        expression = "request.path.startsWith('/accounts/login') || request.path.startsWith('/admin/login')"
      }
    }

    rate_limit_options {
      conform_action = "allow"
      exceed_action  = "deny(429)"
      enforce_on_key = "IP"

      rate_limit_threshold {
        count        = var.sign_ins_per_minute
        interval_sec = 60
      }
    }
  }

  rule {
    priority    = 3000
    description = "Everybody: above what an account may do, since an office has one address."
    action      = "throttle"

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }

    rate_limit_options {
      conform_action = "allow"
      exceed_action  = "deny(429)"
      enforce_on_key = "IP"

      rate_limit_threshold {
        count        = var.requests_per_minute
        interval_sec = 60
      }
    }
  }

  rule {
    # Google wants a last rule. The one above has let in whoever came this far.
    priority    = 2147483647
    description = "The rest."
    action      = "allow"

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }
  }
}
