class AuthenticatedClient {
    constructor(url, credentials) {
        this.url = url;
        this.credentials = credentials;
        this.authenticated = false;
    }
    
    connect() {
        this.ws = new WebSocket(this.url);
        
        this.ws.onopen = () => {
            this.authenticate();
        };
        
        this.ws.onmessage = (event) => {
            const data = JSON.parse(event.data);
            
            if (data.authenticated) {
                this.authenticated = true;
                this.onReady();
            }
        };
    }
    
    authenticate() {
        this.ws.send(JSON.stringify(this.credentials));
    }
    
    onReady() {
        console.log('Authenticated and ready');
        // Start sending commands
    }
}
