const WebSocket = require('ws');

class RotoclearClient {
    constructor(url, username, password) {
        this.url = url;
        this.username = username;
        this.password = password;
        this.ws = null;
    }
    
    connect() {
        return new Promise((resolve, reject) => {
            this.ws = new WebSocket(this.url);
            
            this.ws.on('open', () => {
                console.log('Connected');
                
                // Authenticate
                if (this.username && this.password) {
                    this.send({
                        username: this.username,
                        password: this.password
                    });
                }
                
                resolve();
            });
            
            this.ws.on('message', (data) => {
                const message = JSON.parse(data);
                this.handleMessage(message);
            });
            
            this.ws.on('error', (error) => {
                console.error('WebSocket error:', error);
                reject(error);
            });
            
            this.ws.on('close', () => {
                console.log('Connection closed');
                // Reconnect logic here
            });
        });
    }
    
    send(data) {
        if (this.ws.readyState === WebSocket.OPEN) {
            this.ws.send(JSON.stringify(data));
        }
    }
    
    handleMessage(data) {
        console.log('Received:', data);
    }
    
    // API methods
    setLight(camera, on) {
        const key = `cam${camera}-light`;
        this.send({ [key]: on });
    }
    
    setBrightness(value) {
        this.send({ brightness: value });
    }
    
    startRecording() {
        this.send({ record: true });
    }
}
